# SPDX-License-Identifier: MIT
"""results.py - figures of all rounds, and how a line of a table looks; for bench.py, io_bench.py."""
import statistics

MORE_IS_BETTER = ("req/s",)  # units


class Results:
    """samples[bench, impl, procs]: values of one figure each round, in one unit"""

    def __init__(self):
        self.samples, self.p99, self.unit, self.sizes = {}, {}, {}, {}
        self.skips, self.failures = {}, []

    def add(self, key, unit, value, p99, n):
        self.samples.setdefault(key, []).append(value)
        if p99 is not None:
            self.p99.setdefault(key, []).append(p99)
        self.unit[key[0]] = unit
        self.sizes[key] = n

    def skip(self, bench, impl, why):
        benches = self.skips.setdefault((impl, why), [])
        if bench not in benches:
            benches.append(bench)

    def skipped(self, bench, impl):
        return any(i == impl and bench in benches for (i, _), benches in self.skips.items())

    def median(self, bench, impl, procs, p99=False):
        values = (self.p99 if p99 else self.samples).get((bench, impl, procs))
        return statistics.median(values) if values else None


def human(value, unit):
    if value is None:
        return "-"
    if unit == "ns" and value >= 10000:
        return f"{value / 1000:.1f} us" if value < 1e7 else f"{value / 1e6:.1f} ms"
    suffix = "" if unit in ("switches", "calls", "req/s") else " " + unit
    return (f"{value:.0f}" if value >= 1000 else f"{value:.2f}" if unit == "calls" else
            f"{value:.1f}") + suffix


def better(unit, a, b):
    return a > b if unit in MORE_IS_BETTER else a < b


def head_of(impls):
    cells = [f"{'libgr':>11}"] + [f"{i:>11} {'ratio':>6}" for i in impls if i != "libgr"]
    return f"{'bench':25}{'Ps':>3} " + " ".join(cells)


def line_of(res, bench, procs, impls, p99):
    """One line of the table; whom libgr loses to."""
    unit = res.unit[bench]
    ours = res.median(bench, "libgr", procs, p99)
    cells, lost = [f"{human(ours, unit):>11}"], []
    for impl in impls:
        if impl == "libgr":
            continue
        theirs = res.median(bench, impl, procs, p99)
        ratio = ""
        if ours is not None and theirs is not None:
            ratio = f"{ours / theirs:.2f}" if theirs else ("1.00" if not ours else "inf")
            if better(unit, theirs, ours):
                lost.append(impl)
        cells.append(f"{human(theirs, unit):>11} {ratio:>6}")
    name = bench + (" p99" if p99 else "")
    mark = "   LOSES to " + ", ".join(lost) if lost else ""
    return f"{name:25}{procs:3} " + " ".join(cells) + mark


def verdict(name, procs, value, what, limit, good):
    print(f"  {name:16} procs {procs}: {value:7.2f} {what}, {limit}   "
          f"{'as hoped' if good else 'NOT as hoped'}")
