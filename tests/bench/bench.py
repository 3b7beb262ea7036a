#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""bench.py - run the library's benchmarks and their twins, interleaved; `make bench`.

A program is called as PROG BENCH PROCS N and prints "BENCH UNIT VALUE [P99]" for one round, or
"skip: why" and exits with 4. One process for each round, impl and number of Ps; a round goes
through all of them before the next one starts, so that what else the machine does meets all alike.

Environment: BENCH=yield,ring and IMPL=libgr,go: only these. ROUNDS (5). BENCH_FORMAT=go: lines of
`go test -bench` instead of the table. OUT (build/bench.json). BENCH_SCALE=0.01: smaller, for the
test of this program. IDLE_SECONDS (10). BENCH_CLOCK=cpu: CPU time of the whole process instead of
the clock, where a workload keeps its Ps busy: for a machine that has other things to do.
Exit 1 if a program failed or libgr has no figure for something.
"""
import json
import os
import random
import re
import resource
import statistics
import subprocess
import sys
import time

import io_bench
from results import Results, head_of, line_of, verdict

IMPLS = ("libgr", "go", "boost.fiber", "tokio", "pthread", "asm")
BUSY = ("switch", "yield", "spawn", "pingpong", "bufchan", "ring", "skynet", "select", "mutex")
FILE_BLOCKS = 65536
NOISE = random.randbytes(4088)
LIMIT = 120  # seconds for one round of one program

# What a program is asked for; how many operations; rounds at most; figures it gives, each with the
# hoped-for ratio to Go; a smaller n for some peers: bytes or ns of one do not depend on how many.
WORK = {
    "switch": dict(n=20_000_000, procs=(1,)),
    "yield": dict(n=4_000_000, goal=0.35, less={"tokio": 2_000_000, "pthread": 500_000}),
    "spawn": dict(n=500_000, goal=0.2, less={"pthread": 8_000, "boost.fiber": 100_000}),
    "pingpong": dict(n=1_500_000, goal=0.35, less={"pthread": 30_000, "boost.fiber": 500_000,
                                                   "tokio": 500_000}),
    "bufchan": dict(n=4_000_000, goal=0.8, less={"pthread": 500_000, "tokio": 2_000_000}),
    "ring": dict(n=1_000_000, goal=0.3, less={"pthread": 20_000, "boost.fiber": 300_000}),
    "skynet": dict(n=1_000_000, goal=0.3, rounds=3),
    "select": dict(n=600_000, goal=0.4),
    "mutex": dict(n=2_000_000, goal=1.0, less={"boost.fiber": 500_000}),
    "timers_cpu": dict(n=1_000_000, goal=0.4, rounds=2, less={"boost.fiber": 50_000, "pthread": 5_000}),
    "timers_late": dict(n=40_000, rounds=3, p99=True),
    "parked": dict(n=1_000_000, rounds=2, gives=("parked_bytes", "parked_create"),
                   less={"boost.fiber": 50_000, "pthread": 5_000}),
    "wake": dict(n=20_000, p99=True),
    "idle_ctxt": dict(n=100, rounds=1),
    "sleep50us_err": dict(n=2_000, p99=True, unit="us", impls=("libgr", "go", "pthread")),
}
FILE_FIGURES = ("", "_cpu", "_enters")
for cached, reads in (("", 60_000), ("_cached", 600_000)):
    WORK["file_randread" + cached] = dict(
        n=reads, impls=("libgr", "go", "pthread"),
        gives=tuple("file_randread" + cached + f for f in FILE_FIGURES))
SLEEP_ERROR = 20  # us, hoped for
# hoped for, beyond the ratio to Go: (bench, of what, at most)
GOALS = (
    ("yield", "asm", 1.8, "switch"),
    ("parked_create", "go", 0.5, None),
    ("wake", "pthread", 1.0, None),
)


def work_of(bench):
    return WORK.get(bench) or io_bench.WORK[bench]


def figures(bench):
    return work_of(bench).get("gives", (bench,))


def write_file(scale):
    """What file_randread reads, 256 MiB: each block begins with its number. BENCH_FILE is its name."""
    blocks = max(int(FILE_BLOCKS * scale), 256)
    os.environ["BENCH_FILE"] = os.path.abspath("build/bench/randread")
    with open(os.environ["BENCH_FILE"], "wb") as f:
        for i in range(blocks):
            f.write(i.to_bytes(8, "little") + NOISE)
        f.flush()
        os.fsync(f.fileno())


def size(bench, impl, scale):
    n = WORK[bench].get("less", {}).get(impl, WORK[bench]["n"])
    return n if bench == "idle_ctxt" else max(int(n * scale), 1000)


def cpu_seconds():
    r = resource.getrusage(resource.RUSAGE_CHILDREN)
    return r.ru_utime + r.ru_stime


def run_one(res, bench, impl, procs, scale):
    n = size(bench, impl, scale)
    if bench == "skynet":
        n = 10 ** (len(str(n)) - 1)  # whole trees only
    cpu = cpu_seconds()
    try:
        p = subprocess.run(["build/bench/" + impl, bench, str(procs), str(n)], timeout=LIMIT,
                           capture_output=True, text=True, check=False)
    except subprocess.TimeoutExpired:
        res.failures.append(f"{bench} {impl} procs={procs}: not done after {LIMIT} s")
        return
    if p.returncode == 4:
        res.skip(bench, impl, p.stdout.strip().removeprefix("skip: "))
        return
    lines = [line.split() for line in p.stdout.splitlines()]
    if p.returncode or not lines:
        res.failures.append(f"{bench} {impl} procs={procs}: exit {p.returncode} {p.stderr.strip()}")
        return
    cpu = cpu_seconds() - cpu
    for name, unit, value, *p99 in lines:
        if os.environ.get("BENCH_CLOCK") == "cpu" and bench in BUSY:
            value = cpu * 1e3 if unit == "ms" else cpu * 1e9 / (n * 1.1)  # with the warm-up
        if WORK[bench].get("unit", unit) != unit:  # us, and the programs count ns
            unit, value, p99 = "us", float(value) / 1000, [float(x) / 1000 for x in p99]
        res.add((name, impl, procs), unit, float(value), float(p99[0]) if p99 else None, n)


def switches(pid):
    """context switches of each thread so far"""
    out = {}
    for tid in os.listdir(f"/proc/{pid}/task"):
        try:
            with open(f"/proc/{pid}/task/{tid}/status", encoding="utf-8") as f:
                out[tid] = sum(int(n) for n in re.findall(r"ctxt_switches:\s+(\d+)", f.read()))
        except OSError:
            pass  # it ended
    return out


def run_idle(res, impls, seconds):
    """All of them at once: they do nothing, and nothing is what is measured."""
    running = []
    for impl in impls:
        for procs in (1, 2):
            n = WORK["idle_ctxt"]["n"]
            p = subprocess.Popen(["build/bench/" + impl, "idle_ctxt", str(procs), str(n)],
                                 stdout=subprocess.PIPE, text=True)
            line = p.stdout.readline().strip()
            if line == "ready":
                running.append((p, impl, procs))
            elif line.startswith("skip: "):
                p.wait()
                res.skip("idle_ctxt", impl, line.removeprefix("skip: "))
            else:
                p.kill()
                res.failures.append(f"idle_ctxt {impl} procs={procs}: {line or 'died'}")
    time.sleep(1)
    before = [switches(p.pid) for p, _, _ in running]
    time.sleep(seconds)
    for (p, impl, procs), old in zip(running, before):
        new = switches(p.pid)
        res.add(("idle_ctxt", impl, procs), "switches",
                float(sum(v - old.get(tid, 0) for tid, v in new.items())), None, 1)
        p.kill()
        p.wait()


def progress(text):
    if sys.stderr.isatty():
        print(f"\r{text:70}", end="\r", file=sys.stderr, flush=True)


def run_all(res, benches, impls, rounds, scale):
    for r in range(rounds):
        for bench in benches:
            if r >= work_of(bench).get("rounds", rounds):
                continue
            progress(f"bench: round {r + 1} of {rounds}: {bench}")
            if bench in io_bench.WORK:
                io_bench.run_round(res, bench, [i for i in io_bench.IMPLS if i in impls], r, scale)
                continue
            if bench == "idle_ctxt":
                run_idle(res, [i for i in impls if i in IMPLS and i != "asm"],
                         float(os.environ.get("IDLE_SECONDS", 10)))
                continue
            for procs in WORK[bench].get("procs", (1, 2)):
                for impl in impls[r % len(impls):] + impls[:r % len(impls)]:
                    if impl in WORK[bench].get("impls", IMPLS) and not res.skipped(bench, impl):
                        run_one(res, bench, impl, procs, scale)
    progress("")
    if "BENCH_FILE" in os.environ:
        os.unlink(os.environ["BENCH_FILE"])


# ---- what comes out ----

def goals(benches):
    for bench in benches:
        if "goal" in WORK.get(bench, ()):
            yield bench, "go", WORK[bench]["goal"], None
    for g in GOALS:
        if any(g[0] in figures(b) for b in benches):
            yield g


def print_goals(res, benches):
    print("\nHoped for (libgr / peer)")
    for bench, impl, most, other in goals(benches):
        for procs in (1, 2):
            ours = res.median(bench, "libgr", procs)
            theirs = res.median(other or bench, impl, procs)
            if ours is not None and theirs:
                verdict(bench, procs, ours / theirs, f"of {impl}{' ' + other if other else ''}",
                        f"at most {most}", ours / theirs <= most)
    late = res.median("sleep50us_err", "libgr", 1)
    if late is not None:
        verdict("sleep50us_err", 1, late, "us", f"at most {SLEEP_ERROR}", late <= SLEEP_ERROR)
    io_bench.print_goals(res)


def print_lines(res, benches, impls):
    impls = [i for i in impls if any(res.median(f, i, procs) is not None for b in benches
                                     for f in figures(b) for procs in (1, 2))]
    print(head_of(impls))
    for bench in benches:
        for name in figures(bench):
            for procs in (1, 2):
                if not any(k[0] == name and k[2] == procs for k in res.samples):
                    continue
                for p99 in (False, True) if work_of(bench).get("p99") else (False,):
                    print(line_of(res, name, procs, impls, p99))


def print_table(res, benches, impls):
    for part in (WORK, io_bench.WORK):
        chosen_here = [b for b in benches if b in part]
        if chosen_here:
            print_lines(res, chosen_here, impls)
            print()
    print("Medians; ratio: libgr / peer, below 1 libgr is faster or smaller; req/s: above 1.")
    for (impl, why), skipped in sorted(res.skips.items()):
        print(f"  {impl}: no {', '.join(skipped)}: {why}")
    tables = [f"{impl} {res.median('parked_tables', impl, 1):.0f}" for impl in impls
              if res.median("parked_tables", impl, 1) is not None]
    if tables:
        print(f"  parked_bytes is resident memory; page tables besides: {', '.join(tables)} bytes")
    print_goals(res, benches)


def print_go(res, benches, impls):
    """as `go test -bench` does, a line for each round; benchstat -row '.name /gomaxprocs' -col impl"""
    for impl in impls:
        print(f"impl: {impl}")
        for bench in benches:
            for name in figures(bench):
                for procs in (1, 2):
                    key = (name, impl, procs)
                    for i, value in enumerate(res.samples.get(key, [])):
                        unit = res.unit[name]
                        value, what = (value * 1e6, "ns/op") if unit == "ms" else \
                            (value, {"ns": "ns/op", "bytes": "B/op"}.get(unit, unit))
                        more = f"\t{res.p99[key][i]:.1f} p99-{what}" if key in res.p99 else ""
                        camel = "".join(w.capitalize() for w in name.split("_"))
                        suffix = f"-{procs}" if procs > 1 else ""
                        ops = 1 if unit == "ms" else res.sizes[key]
                        print(f"Benchmark{camel}/{impl}{suffix}\t{ops}\t{value:.2f} {what}{more}")


def rows(res, benches):
    known = {name for b in benches for name in figures(b)}
    for (bench, impl, procs), values in sorted(res.samples.items()):
        if bench not in known:
            continue
        row = {"bench": bench, "impl": impl, "procs": procs, "unit": res.unit[bench],
               "median": statistics.median(values), "min": min(values), "max": max(values),
               "n": len(values)}
        if (bench, impl, procs) in res.p99:
            row["p99"] = statistics.median(res.p99[bench, impl, procs])
        yield row


def chosen(name, known):
    wanted = [w for w in os.environ.get(name, "").split(",") if w]
    aliases = {f: b for b in known for f in figures(b)} if name == "BENCH" else {}
    wanted = [aliases.get(w, w) for w in wanted]
    bad = [w for w in wanted if w not in known]
    if bad:
        sys.exit(f"bench: {name}: {', '.join(bad)}: known are {', '.join(known)}")
    return [k for k in known if k in wanted] if wanted else list(known)


def version(impl):
    try:
        out = subprocess.run(["build/bench/" + impl, "version"], capture_output=True, text=True,
                             check=False, timeout=LIMIT)
        return out.stdout.strip()
    except OSError:
        return ""


def main():
    benches = chosen("BENCH", list(WORK) + list(io_bench.WORK))
    impls = chosen("IMPL", IMPLS + tuple(i for i in io_bench.IMPLS if i not in IMPLS))
    fmt = os.environ.get("BENCH_FORMAT", "")
    out = os.environ.get("OUT") or "build/bench.json"
    os.environ.setdefault("GR_BACKEND", "futex")
    res = Results()
    for impl in [i for i in impls if i in IMPLS]:
        if not os.access("build/bench/" + impl, os.X_OK):
            for bench in WORK:
                res.skip(bench, impl, "it was not built")
    if any(b.startswith("file_") for b in benches):
        write_file(float(os.environ.get("BENCH_SCALE") or 1))
    start = time.monotonic()
    run_all(res, benches, impls, int(os.environ.get("ROUNDS") or 5),
            float(os.environ.get("BENCH_SCALE") or 1))
    with open(out, "w", encoding="utf-8") as f:
        f.write("[\n" + ",\n".join(json.dumps(r) for r in rows(res, benches)) + "\n]\n")
    if fmt == "go":
        print_go(res, benches, impls)
    else:
        print_table(res, benches, impls)
        print("\n" + "; ".join(f"{i} {version(i)}" for i in impls if version(i)))
        print(f"{time.monotonic() - start:.0f} s, load {os.getloadavg()[0]:.1f}; the figures are in {out}")
    for text in res.failures:
        print(f"bench: FAILED: {text}", file=sys.stderr)
    sys.exit(1 if res.failures else 0)


main()
