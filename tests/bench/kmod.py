#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""kmod.py DIR JSON - print what kmod.sh measured beside what was hoped for, and write it as JSON.

Every figure comes from the rows in DIR; what is missing there is an error, not a blank.
"""
import glob
import json
import os
import sys

MEANS = ("switch", "park", "futex", "eventfd", "pipe")


def load(where):
    rows = []
    for path in sorted(glob.glob(os.path.join(where, "*.json"))):
        cpus = int(path.removesuffix(".json").rsplit("-", 1)[1])  # of the guest
        with open(path, encoding="utf-8") as f:
            rows += [dict(json.loads(line), cpus=cpus) for line in f if line.startswith("{")]
    for r in rows:
        if r["bench"] == "getppid":
            r["bench"] = "syscall"
            if r["unit"] == "ns":
                r.update(unit="us", median=r["median"] / 1000, p99=r["p99"] / 1000)
    return rows


def get(bench, impl, unit, cpus=None):
    for r in ROWS:
        if (r["bench"], r["impl"], r["unit"]) == (bench, impl, unit) and \
                (cpus is None or r.get("cpus") == cpus):
            return r
    sys.exit(f"bench: no figure for {bench} {impl} in {unit}")


def target(text, value, good, void=""):
    verdict = f"says nothing: {void}" if void else "as hoped" if good else "NOT as hoped"
    print(f"    {text}: {value}   {verdict}")


def ratio(bench, a, b, unit, key="median", cpus=None):
    return get(bench, a, unit, cpus)[key] / get(bench, b, unit, cpus)[key]


def print_costs():
    print("What programs pay that do not use it (instructions)")
    for impl in ("not-loaded", "loaded", "loaded-and-used"):
        r = get("ctxswitch_unattached", impl, "insns")
        print(f"  context switch, half a pipe round trip, {impl:16} {r['median']:9.1f}")
    for other in ("loaded", "loaded-and-used"):
        d = ratio("ctxswitch_unattached", other, "not-loaded", "insns")
        target(f"{other} / not-loaded, within 1%", f"{d:.4f}", abs(d - 1) <= 0.01)
    for impl in ("unattached", "attached"):
        print(f"  getppid(), thread {impl:12} {get('syscall', impl, 'insns')['median']:9.1f}")
    d = ratio("syscall", "attached", "unattached", "insns")
    target("attached / unattached, equal", f"{d:.4f}", abs(d - 1) <= 0.005)


def print_roundtrips():
    print("\nRound trip of two threads (sleeps: per round trip, 2 is the honest number)")
    print(f"  {'':8} {'1 CPU':>18} {'':>10} {'free on 2 CPUs':>18}")
    print(f"  {'':8} {'insns':>9} {'us':>8} {'sleeps':>7}     {'insns':>9} {'us':>8} {'sleeps':>7}")
    for impl in MEANS:
        cells = []
        for bench in ("roundtrip_1cpu", "roundtrip_2cpu"):
            i, u = get(bench, impl, "insns"), get(bench, impl, "us")
            cells.append(f"{i['median']:9.0f} {u['median']:8.1f} {u['sleeps']:7.2f}")
        print(f"  {impl:8} " + "     ".join(cells))
    r = ratio("roundtrip_1cpu", "switch", "futex", "insns")
    target("switch / futex on 1 CPU, insns, at most 0.85", f"{r:.3f}", r <= 0.85)
    r = ratio("roundtrip_2cpu", "futex", "switch", "us")
    slept = get("roundtrip_2cpu", "futex", "us")["sleeps"]
    target("futex / switch free on 2 CPUs, us, at least 4", f"{r:.2f}", r >= 4,
           "" if slept >= 1.9 else f"the futex pair slept {slept:.2f} times a round trip")
    row = [f"{impl} {get('roundtrip_2cpu', impl, 'us', 4)['median']:.1f}" for impl in MEANS]
    print(f"  the same free on 2 of 4 CPUs, us: {', '.join(row)}; futex / switch "
          f"{ratio('roundtrip_2cpu', 'futex', 'switch', 'us', cpus=4):.2f}")


def print_handoff():
    print("\nFrom a thread that blocks to the next one in user mode, 1 CPU")
    for unit in ("insns", "us"):
        for impl in ("kmod", "floor"):
            r = get("block_to_run", impl, unit)
            print(f"  {impl:6} p50 {r['median']:9.1f}   p99 {r['p99']:9.1f} {unit}")
    for key, name in (("median", "p50"), ("p99", "p99")):
        r = ratio("block_to_run", "kmod", "floor", "insns", key)
        target(f"kmod / floor, insns, {name}, at most 1.5", f"{r:.3f}", r <= 1.5)


def print_storm():
    print("\n64 threads block and unblock at random on 2 Ps")
    for cpus in (2, 4):
        def v(unit, key="median"):
            return get("storm", "kmod", unit, cpus)[key]
        n = get("storm", "kmod", "max_running", cpus)["n"]
        print(f"  {cpus} CPUs: {v('handoffs/s'):.0f} hand-offs/s; returners waited {v('returner_wait_us') / 1e3:.1f}"
              f" ms (p50), {v('returner_wait_us', 'p99') / 1e3:.1f} ms (p99), "
              f"{v('returner_wait_longest_us') / 1e3:.0f} ms at most (bucket bounds); "
              f"{v('returns_late'):.0f} of them over 40 ms")
        target(f"at most 2 in user mode, of {n} samples", f"{v('max_running'):.0f}",
               v("max_running") <= 2, "" if n else "the CPUs never met in time")
        looks = get("storm", "kmod", "violations", cpus)
        target(f"in goroutine code without a P, of {looks['n']} looks", f"{looks['median']:.0f}",
               looks["median"] == 0)
        target("returners that waited over four slices", f"{v('returns_late'):.0f}",
               v("returns_late") == 0)
        target("lost wake-ups", f"{v('lost'):.0f}", v("lost") == 0 and v("lost", "p99") == 0)


ROWS = load(sys.argv[1])
print()
print_costs()
print_roundtrips()
print_handoff()
print_storm()
with open(sys.argv[2], "w", encoding="utf-8") as out:
    out.write("[\n" + ",\n".join(json.dumps(r) for r in ROWS) + "\n]\n")
print(f"\nThe figures are in {sys.argv[2]}")
