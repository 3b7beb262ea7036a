#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""tap.py FILE... - count test results and print them; the last line is the total.

A FILE is what tests printed: TAP (also nested KTAP, whose inner lines start with "# "), with
"# begin NAME" / "# end NAME STATUS" lines around each program. A program counts as failed when
its status is not 0, when its plan does not match, or when it printed no result at all. A file
without its last "verdict:" line, or an empty one, is a failure too.

Exit: 0 if nothing failed and something passed.
"""
import re
import sys

RESULT = re.compile(r'^(not )?ok\b\s*(\d+)?\s*(.*)$')
PLAN = re.compile(r'^1\.\.(\d+)')


class Count:
    def __init__(self):
        self.passed = self.failed = 0
        self.skipped = []
        self.failures = []

    def fail(self, what):
        self.failed += 1
        self.failures.append(what)


def program(count, where, name, status, lines):
    plan = None
    results = 0
    bad = False
    for line in lines:
        m = PLAN.match(line)
        if m:
            plan = int(m.group(1))
            if plan == 0:
                plan = None
                m = re.search(r'#\s*SKIP\s*(.*)', line)
                count.skipped.append(f'{where}{name}: {m.group(1) if m else ""}')
                results += 1
                plan = results
            continue
        m = RESULT.match(line)
        if not m:
            continue
        results += 1
        skip = re.search(r'#\s*SKIP\s*(.*)', m.group(3))
        if m.group(1):
            count.fail(f'{where}{name}: {m.group(3)}')
            bad = True
        elif skip:
            count.skipped.append(f'{where}{name}: {skip.group(1)}')
        else:
            count.passed += 1
    if not results:
        count.fail(f'{where}{name}: printed no result (status {status})')
    elif plan is not None and plan != results:
        count.fail(f'{where}{name}: planned {plan} tests, saw {results}')
    elif status not in ('0', '4') and not bad:
        count.fail(f'{where}{name}: ended with status {status}')
    elif status == 'kernel' and bad:
        count.fail(f'{where}{name}: the kernel log complains')
    if bad or status not in ('0', '4'):
        for line in lines[-25:]:
            print(f'    {where}{name}| {line}')


def read(count, path):
    where = path.rsplit('/', 1)[-1].removesuffix('.tap') + '/'
    try:
        text = open(path, errors='replace').read().replace('\r', '')
    except OSError as e:
        count.fail(f'{path}: {e.strerror}')
        return
    name, lines, verdict = None, [], False
    for line in text.split('\n'):
        if m := re.match(r'^# begin (\S+)$', line):
            if name:
                program(count, where, name, 'no end', lines)
            name, lines = m.group(1), []
        elif m := re.match(r'^# end (\S+) (\S+)$', line):
            program(count, where, m.group(1), m.group(2), lines)
            name, lines = None, []
        elif line.startswith('verdict:'):
            verdict = True
        else:
            lines.append(line)
    if name:
        program(count, where, name, 'never ended', lines)
    if not verdict:
        count.fail(f'{where}: no verdict')


def main():
    count = Count()
    for path in sys.argv[1:]:
        read(count, path)
    for s in count.skipped:
        print(f'skipped: {s}')
    for f in count.failures:
        print(f'FAILED: {f}')
    print(f'{count.passed} passed, {count.failed} failed, {len(count.skipped)} skipped')
    return 0 if count.passed and not count.failed else 1


if __name__ == '__main__':
    sys.exit(main())
