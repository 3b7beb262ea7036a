# SPDX-License-Identifier: MIT
"""crash.py - kill -9 under load, again and again: what was acknowledged is there afterwards.

Each client has keys of its own and a model of them. The model has seen every command that was
acknowledged; those that were sent and not answered may have happened, in their order, up to any one
of them. So after the restart the keys must be the model after some number of these, nothing else.
"""
import os
import random
import threading
import time

from kv import Error, Server, ok, request

CLIENTS = 6
KEYS = 12


class Worker:
    def __init__(self, name, seed):
        self.rnd = random.Random(seed)
        self.keys = [f"{name}.{i}" for i in range(KEYS)]
        self.model = {}  # key: (value, has it a time)
        self.open = []  # sent, not answered
        self.acked = 0
        self.bad = []

    def command(self):
        r, k, n = self.rnd, self.rnd.choice(self.keys), self.rnd.randrange(10**6)
        return r.choice((
            ("SET", k, n), ("SET", k, n, "EX", 100000), ("SET", k, n, "NX"), ("INCR", k),
            ("DECRBY", k, n), ("DEL", k), ("DEL", k, r.choice(self.keys)), ("EXPIRE", k, 100000),
            ("PERSIST", k), ("MSET", k, n, r.choice(self.keys), n + 1),
            ("SET", k, str(n) + "0" * r.randrange(3))))

    @staticmethod
    def apply(m, name, k, *rest):
        """What a command does to a model, and its reply."""
        value, timed = m.get(k, (0, False))
        if name == "SET":
            if "NX" in rest and k in m:
                return None
            m[k] = int(rest[0]), "EX" in rest
            return b"OK"
        if name == "MSET":
            m[k] = int(rest[0]), False
            m[rest[1]] = int(rest[2]), False
            return b"OK"
        if name in ("INCR", "DECRBY"):
            value += 1 if name == "INCR" else -int(rest[0])
            m[k] = value, timed
            return value
        if name == "DEL":
            return sum(m.pop(x, None) is not None for x in (k, *rest))
        if k not in m or (name == "PERSIST" and not timed):
            return 0
        m[k] = value, name == "EXPIRE"
        return 1

    def run(self, server):
        """Until the connection breaks."""
        try:
            with server.connect() as c:
                while True:
                    self.open = [self.command() for _ in range(self.rnd.choice((1, 1, 3, 20)))]
                    c.s.sendall(b"".join(request(*a) for a in self.open))
                    while self.open:
                        got = c.reply()
                        expect = self.apply(self.model, *self.open.pop(0))
                        self.acked += 1
                        if got != expect or isinstance(got, Error):
                            self.bad.append((got, expect))
                            return
        except (OSError, EOFError):
            pass

    def check(self, c):
        """Compare with what a server has loaded; the model is then what that has."""
        values = c("MGET", *self.keys)
        c.s.sendall(b"".join(request("PTTL", k) for k in self.keys))
        times = [c.reply() for _ in self.keys]
        found = {k: (int(v), t > 0) for k, v, t in zip(self.keys, values, times) if v is not None}
        model = dict(self.model)
        for a in self.open:
            if model == found:
                break
            self.apply(model, *a)
        if model != found:
            self.bad.append(("acknowledged", self.model, "open", self.open, "found", found))
        self.model, self.open = found, []


def one_round(server, workers, pause):
    threads = [threading.Thread(target=w.run, args=(server,)) for w in workers]
    for t in threads:
        t.start()
    time.sleep(pause)
    server.kill()
    for t in threads:
        t.join()


def run(tmp):
    seed = int(os.environ.get("KV_SEED", random.randrange(2**32)))
    rounds = int(os.environ.get("KV_ROUNDS", 50))
    print(f"# KV_SEED={seed} KV_ROUNDS={rounds}", flush=True)
    rnd = random.Random(seed)
    workers = [Worker(f"w{i}", rnd.random()) for i in range(CLIENTS)]
    args = ("--aof", f"{tmp}/crash", "--fsync", "always")
    bad, cut = [], 0
    server = Server(*args)
    for n in range(rounds):
        one_round(server, workers, rnd.uniform(0.01, 0.3))
        server = Server(*args)
        cut += "unfinished" in server.said
        with server.connect() as c:
            for w in workers:
                w.check(c)
        bad = [(n, w.keys[0], w.bad) for w in workers if w.bad]
        if bad:
            break
    acked = sum(w.acked for w in workers)
    print(f"# {acked} commands acknowledged, {cut} records cut off")
    ok(not bad, f"{rounds} times killed: what was acknowledged is there, nothing unknown", bad)
    ok(acked > 0, "commands were acknowledged")
    status, err = server.stop()
    ok(status == 0, "and it ends as it should", err)
