#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""report.py OUT JSON - print what measure.sh and getppid measured, and write it as JSON.

Every figure comes from the files in OUT. A file that is missing is a line that says so, and a
server that was measured with errors is marked: nothing is filled in.
"""
import json
import os
import re
import sys

IMPLS = ("kmod", "futex", "go")
PHASES = (("alone", "http_fast_alone"), ("blocking", "http_fast_while_blocking"))


def read(name):
    try:
        with open(os.path.join(OUT, name), encoding="utf-8", errors="replace") as f:
            return f.read()
    except FileNotFoundError:
        return ""


def json_lines(name):
    return [json.loads(l) for l in read(name).splitlines() if l.startswith("{")]


def one(name):
    lines = json_lines(name)
    return lines[-1] if lines else None


def stats(impl):
    """What the server's /stats said after the second run, as a dictionary of strings."""
    return dict(l.split() for l in read(f"{impl}.stats").splitlines() if len(l.split()) == 2)


def collect():
    rows = []
    for impl in IMPLS:
        for phase, bench in PHASES:
            r = one(f"{impl}.{phase}")
            if r:
                rows.append({"bench": bench, "impl": impl, "procs": int(stats(impl)["procs"]),
                             "unit": "us", "median": r["p50"], "p99": r["p99"],
                             "n": r["requests"]})
        rows += json_lines(f"{impl}.b2r")
    return rows + json_lines("getppid")


def cell(r):
    if not r or not r["requests"]:
        return f"{'-':>8} {'-':>9} {'-':>9} "
    mark = "!" if r["errors"] else " "
    return f"{r['requests'] / r['seconds']:8.0f} {r['p50']:9.0f} {r['p99']:9.0f}{mark}"


def print_http():
    print("Short requests (8 keep-alive connections on /), one processor each")
    print(f"{'':8}{'alone':>27} {'while 50 clients block':>32}")
    print(f"{'':8}{'req/s':>8} {'p50 us':>9} {'p99 us':>9}  "
          f"   {'req/s':>8} {'p50 us':>9} {'p99 us':>9}")
    for impl in IMPLS:
        a, b = one(f"{impl}.alone"), one(f"{impl}.blocking")
        if a or b:
            print(f"{impl:8}{cell(a)}    {cell(b)}")
    for impl in IMPLS:
        r = one(f"{impl}.blockers")
        if r:
            bad = f", {r['errors']} of them failed" if r["errors"] else ""
            print(f"  the 50 clients of {impl}: {r['requests'] / r['seconds']:.0f} requests/s"
                  f"{bad}; rows in the database: {read(impl + '.rows').strip() or '?'}")
    s = stats("kmod")
    if "handoffs" in s:
        print(f"  kmod: threads fell asleep in goroutine code {s['blocks']} times, their processor "
              f"went on {s['handoffs']} times")
    print("  Fair: each server has one processor, all its threads on CPU 0, both load\n"
          "  generators on CPU 1. The blocking requests are work too: the right half pays for\n"
          "  them. wrk sends a connection's next request after the reply: a stall counts once\n"
          "  a connection. ! marks runs in which requests failed.\n")


def print_b2r():
    print("From a thread that blocks to the next goroutine on its processor")
    for impl in IMPLS:
        for r in json_lines(f"{impl}.b2r"):
            print(f"  {impl:6} median {r['median']:9.1f} us   p99 {r['p99']:9.1f} us"
                  f"   ({r['n']} blocks of 20 ms)")
    print("  20000 us and more: nobody ran until the one that blocked came back by itself.\n")


def duration(ns):
    for unit, size in (("s", 10**9), ("ms", 10**6), ("us", 10**3)):
        if ns >= size:
            return f"{ns / size:.0f} {unit}"
    return f"{ns} ns"


def print_latency():
    buckets = {}
    for line in read("latency").splitlines():
        name, low, high, count = line.split()
        if name == "name":  # the head of a group's table
            continue
        buckets.setdefault(name, {}).setdefault((int(low), int(high)), 0)
        buckets[name][(int(low), int(high))] += int(count)
    hist = buckets.get("block_handoff")
    if not hist:
        print("No block->hand-off histogram (debugfs gr/<group>/latency was not readable)\n")
        return
    print("Block->hand-off as the kernel module counted it (debugfs gr/<group>/latency)")
    top = max(hist.values())
    for (low, high), count in sorted(hist.items()):
        bar = "#" * max(1, round(40 * count / top))
        print(f"  {duration(low):>7} .. {duration(high + 1):>7} {count:8}  {bar}")
    print()


def trace_trio(lines):
    """block, handoff and unblock of a thread that slept for the 5 ms of the request, or []."""
    event = re.compile(r" ([0-9.]+): (block|handoff|unblock): (.*)")
    open_trios = {}
    for line in lines:
        m = event.search(line)
        if not m:
            continue
        at, kind, f = float(m[1]), m[2], dict(x.split("=") for x in m[3].split())
        slot = f.get("slot", f.get("from"))
        if kind == "block":
            open_trios[slot] = (at, [line])
        elif kind == "handoff" and slot in open_trios:
            open_trios[slot][1].append(line)
        elif kind == "unblock" and slot in open_trios:
            start, trio = open_trios.pop(slot)
            if len(trio) == 2 and at - start >= 0.005:
                return trio + [line]
    return []


def print_trace():
    lines = [l for l in read("trace").splitlines() if not l.startswith("#")]
    if not lines:
        print("No tracepoint output (tracefs events/gr was not readable)\n")
        return
    trio = trace_trio(lines)
    what = "A thread that blocked for 5 ms or more" if trio else "The first lines (no hand-off was seen)"
    print(f"{what} in tracefs, events/gr/{{block,handoff,unblock}}")
    for line in trio or lines[:3]:
        print("  " + re.sub(r"\s+", " ", line.strip()))
    print()


def print_getppid():
    rows = json_lines("getppid")
    if not rows:
        print("getppid() was not measured\n")
        return
    what = {"insns": "instructions (counted by the emulator)", "ns": "ns"}
    print("getppid(), a system call that does not block")
    for r in rows:
        print(f"  {r['impl']:11} {r['median']:8.1f} {what[r['unit']]}")
    print()


def print_next():
    print("What to try next\n"
          "  build/examples/httpd --db x.db            the same server on this machine; then\n"
          "  curl localhost:8080/stats                 what the runtime counts\n"
          "  GR_BACKEND=futex build/examples/httpd     without the module, whatever is there\n"
          "  insmod gr.ko                              then `make run` measures this kernel\n"
          "  GR_DEMO_SECONDS=20 make run               longer, steadier figures")


OUT = sys.argv[1]
rows = collect()
print(f"\nKernel {read('kernel').strip() or '?'}; {read('where').strip()}\n")
print_http()
print_b2r()
print_latency()
print_trace()
print_getppid()
print_next()
with open(sys.argv[2], "w", encoding="utf-8") as f:
    f.write("[\n" + ",\n".join(json.dumps(r) for r in rows) + "\n]\n")
print(f"\nThe figures are in {sys.argv[2]}")
