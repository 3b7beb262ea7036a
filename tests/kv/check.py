#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""check.py KV [PART...] - examples/kv as its clients see it, as TAP. Parts: protocol, log, crash.

KV_ROUNDS: how often the last one kills the server. KV_SEED: what it prints at its start, to do the
same again. GR_BACKEND and GR_PROCS are passed on.
"""
import os
import sys
import tempfile

import kv
import crash
import log
import protocol


def main():
    kv.KV = os.path.abspath(sys.argv[1])
    parts = sys.argv[2:] or ["protocol", "log", "crash"]
    with tempfile.TemporaryDirectory() as tmp:
        if "protocol" in parts:
            protocol.run()
        if "log" in parts:
            log.run(tmp)
        if "crash" in parts:
            crash.run(tmp)
    print(f"1..{kv.count}")
    return kv.failed > 0


sys.exit(main())
