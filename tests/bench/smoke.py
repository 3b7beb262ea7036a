#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""smoke.py - does the runner of the benchmarks do what it says? Tiny workloads, no speed is judged.

Builds libgr's program and the peers that need nothing but the compilers of `make check`, runs
bench.py once, and looks at its JSON, its table and its `go test -bench` lines. Prints TAP.
"""
import json
import math
import os
import re
import subprocess
import sys

NAMES = ("switch yield spawn pingpong bufchan ring skynet select mutex timers_cpu timers_late "
         "parked_bytes parked_create wake idle_ctxt sleep50us_err file_randread file_randread_cpu "
         "file_randread_cached file_randread_cached_cpu").split()
IMPLS = ("libgr", "go", "pthread", "asm")
# the servers, as peers of which only the yardstick needs nothing that is not there
IO = "echo_1 echo_64 echo_1000 echo_1_4k echo_64_4k echo_1000_4k echo_64_open idle10k_bytes http_hello".split()
ONE_P = ("echo_1_4k", "echo_64_4k", "echo_1000_4k", "idle10k_bytes")
IO_IMPLS = ("libgr", "epoll-c")
KV = "kv_set kv_get kv_get_p16".split()
UNITS = ("ns", "us", "ms", "bytes", "switches", "req/s", "calls")
OUT = "build/bench-smoke.json"
COUNT = 0


def check(name, wrong):
    """wrong: what is not as it should be, a list; empty is good"""
    global COUNT
    COUNT += 1
    print(f"{'not ' if wrong else ''}ok {COUNT} - {name}")
    for text in wrong:
        print(f"# {text}")


def bench(**env):
    env = {k: v for k, v in os.environ.items() if k not in ("BENCH", "BENCH_CLOCK", "MAKEFLAGS")} | \
        dict(IMPL=",".join(IMPLS), ROUNDS="2", BENCH_SCALE="0.001", IDLE_SECONDS="0.2", OUT=OUT) | env
    return subprocess.run(["tests/bench/bench.py"], env=env, capture_output=True, text=True, check=False)


def rows_wrong(rows):
    for r in rows:
        what = f"{r['bench']} {r['impl']} {r['procs']}"
        if set(r) - {"p99"} != {"bench", "impl", "procs", "unit", "median", "min", "max", "n"}:
            yield f"{what}: fields {sorted(r)}"
        figures = [r["min"], r["median"], r["max"], r.get("p99", r["max"])]
        if not all(math.isfinite(v) and v >= 0 for v in figures) or figures[:3] != sorted(figures[:3]):
            yield f"{what}: {figures}"
        # ten bytes more or less of few goroutines, or no switch at all, may come out as 0
        if not r["median"] and r["bench"] not in ("idle_ctxt", "parked_bytes", "idle10k_bytes"):
            yield f"{what}: is 0"
        if r["unit"] not in UNITS or r["n"] < 1 or r["procs"] not in (1, 2):
            yield f"{what}: unit {r['unit']}, n {r['n']}"
        if ("p99" in r) != (r["bench"] in ("wake", "timers_late", "sleep50us_err")):
            yield f"{what}: p99 where latency is the point, and only there"


def missing(rows, impl, without):
    have = {(r["bench"], r["procs"]) for r in rows if r["impl"] == impl}
    return [f"{impl} {name} {procs}" for name in NAMES for procs in (1, 2)
            if name not in without and (name, procs) not in have and (name, procs) != ("switch", 2)]


def marks_wrong(rows, table, impls):
    """each line names exactly those whose median is better than ours"""
    more_is_better = {r["bench"] for r in rows if r["unit"] == "req/s"}
    median = {(r["bench"], r["procs"], r["impl"]): r["median"] for r in rows}
    for name, procs in sorted({k[:2] for k in median}):
        ours = median[name, procs, "libgr"]
        sign = -1 if name in more_is_better else 1
        faster = [i for i in impls if sign * median.get((name, procs, i), ours) < sign * ours]
        lines = [t for t in table.splitlines() if re.match(rf"{name} +{procs} ", t)]
        said = re.findall(r"LOSES to (.*)", "\n".join(lines))
        if len(lines) != 1 or said != ([", ".join(faster)] if faster else []):
            yield f"{name} {procs}: {faster} are faster, the table says {lines}"


def go_lines_wrong(text):
    lines = text.splitlines()
    shape = re.compile(r"Benchmark(Yield|ParkedBytes|ParkedCreate|Wake)/(libgr|go|pthread)(-2)?\t\d+"
                       r"\t[\d.]+ (ns|B)/op(\t[\d.]+ p99-ns/op)?$")
    wrong = [t for t in lines if not shape.match(t) and not re.match(r"impl: \S+$", t)]
    n = sum(t.startswith("BenchmarkYield/libgr") for t in lines)
    return wrong + ([] if n == 4 else [f"{n} lines of yield for 2 rounds of 1 and 2 Ps"])


def read_rows():
    with open(OUT, encoding="utf-8") as f:
        return json.load(f)


def io_missing(rows):
    have = {(r["bench"], r["impl"], r["procs"]) for r in rows}
    for name in IO:
        for procs in (1, 2):
            figures = [name] if name.startswith("idle") else \
                [f"{name}_{f}" for f in (("p99", "cpu") if name == "http_hello" else ("p50", "p99", "cpu"))]
            figures += [name] if name not in ("echo_64_open", "idle10k_bytes") else []
            figures += [name + "_enters"] if not name.startswith("idle") else []
            for impl in ("libgr",) if procs == 2 or name == "http_hello" else IO_IMPLS:
                for f in figures:
                    alone = (procs == 2 and name in ONE_P) or (f.endswith("enters") and impl != "libgr")
                    if not alone and (f, impl, procs) not in have:
                        yield f"{f} {impl} {procs}"


def kv_missing(rows, text):
    """its server or its client may not be there; that is said then"""
    have = {(r["bench"], r["impl"]) for r in rows}
    for name in [n for n in KV if not re.search(rf"libgr: no .*\b{n}\b.*: there is no \S", text)]:
        yield from (name + f for f in ("", "_p99", "_cpu") if (name + f, "libgr") not in have)


def check_io():
    run = bench(BENCH=",".join(IO + KV), IMPL=",".join(IO_IMPLS), ROUNDS="1")
    check("a run of the servers", run.stderr.splitlines() + [f"exit {run.returncode}"]
          if run.returncode else [])
    rows = read_rows()
    check("every row of a server has sane figures", list(rows_wrong(rows)))
    skips = re.findall(r".*: no .*(?:descriptors|wrk).*", run.stdout)
    check("every server has every figure", [] if skips else list(io_missing(rows)))
    check("so has the key-value server, where it is", list(kv_missing(rows, run.stdout)))
    check("the table of the servers marks every line where libgr loses, and no other",
          list(marks_wrong(rows, run.stdout, IO_IMPLS)))
    check("figures hoped for are judged",
          [] if re.search(r"echo_64_enters +procs 1: .* at most 0.5 ", run.stdout) else [run.stdout])


def main():
    os.chdir(os.path.dirname(os.path.abspath(__file__)) + "/../..")
    env = {k: v for k, v in os.environ.items() if k != "MAKEFLAGS"}
    made = subprocess.run(["make", "-s", "all"] + ["build/bench/" + i for i in IMPLS + ("epoll-c", "load")],
                          env=env, capture_output=True, text=True, check=False)
    check("the programs build", made.stderr.splitlines() if made.returncode else [])
    if made.returncode:
        sys.exit(1)
    run = bench(BENCH=",".join(NAMES))
    check("a run of everything", run.stderr.splitlines() + [f"exit {run.returncode}"]
          if run.returncode else [])
    rows = read_rows()
    check("every row has sane figures", list(rows_wrong(rows)))
    no_direct = ("file_randread", "file_randread_cpu") if "has no O_DIRECT" in run.stdout else ()
    check("libgr has every benchmark", missing(rows, "libgr", no_direct))
    check("Go has all but the bare switch", missing(rows, "go", ("switch",) + no_direct))
    check("the bare switch has its floor", [] if any(
        r["bench"] == "switch" and r["impl"] == "asm" for r in rows) else ["no row"])
    check("the table marks every line where libgr loses, and no other",
          list(marks_wrong(rows, run.stdout, IMPLS)))
    check("what a peer lacks is said", [] if re.search(r"pthread: no .*skynet.*: \w", run.stdout)
          else [run.stdout])
    check_io()
    run = bench(BENCH="yield,parked_bytes,wake", BENCH_FORMAT="go", IMPL="libgr,go,pthread")
    check("BENCH chooses, BENCH_FORMAT=go prints lines for benchstat",
          go_lines_wrong(run.stdout) + run.stderr.splitlines())
    run = bench(BENCH="nonsense")
    check("an unknown benchmark is an error", [] if run.returncode == 1 and "known are" in run.stderr
          else [run.stdout, run.stderr])
    print(f"1..{COUNT}")


main()
