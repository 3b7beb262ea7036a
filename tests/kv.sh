#!/bin/sh
# SPDX-License-Identifier: MIT
# kv.sh [PART...] - the example key-value server against clients: tests/kv/check.py, as a test.
# KV: another program than build/examples/kv. PYTHONDONTWRITEBYTECODE: nothing beside the sources.
cd "$(dirname "$0")/.." && GR_BACKEND=futex PYTHONDONTWRITEBYTECODE=1 \
	exec tests/kv/check.py "${KV:-build/examples/kv}" "$@"
