#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""tap.py FILE... - count test results and print them; the last line is the total.

A FILE is what tests printed: TAP (also nested KTAP, whose inner lines are indented or start with
"# "), with "# begin NAME" / "# end NAME STATUS" lines around each program; in a guest's file
every line of a program stands behind "| ". A program counts as failed when its status is neither
0 nor 4 (skipped), when its plan is missing or does not match, when it bails out, or when it
printed no result at all. A file without a verdict as its last line, an empty or missing file,
and a verdict of "fail" that no result explains are failures too.

Exit: 0 if nothing failed and something passed.
"""
import re
import sys

RESULT = re.compile(r'^(not )?ok\b\s*(\d+)?\s*(.*)$')
PLAN = re.compile(r'^1\.\.(\d+)')
SKIP = re.compile(r'#\s*SKIP\b\s*(.*)', re.IGNORECASE)
WHY = {
    'timeout': 'did not end in time',
    'kernel': 'the kernel log complains',
    'lost': 'the kernel log overflowed',
    'stuck': 'does not end even when killed',
}


class Count:
    def __init__(self):
        self.passed = self.failed = 0
        self.skipped = []
        self.failures = []

    def fail(self, what):
        self.failed += 1
        self.failures.append(what)


def program(count, name, status, lines):
    """Judge one program by its lines and by how it ended; show the end of a bad one."""
    before = count.failed
    plan = None
    results = 0
    for line in lines:
        if line.startswith('Bail out!'):
            count.fail(f'{name}: {line}')
        elif m := PLAN.match(line):
            plan = int(m.group(1))
            if plan == 0 and results == 0:
                m = SKIP.search(line)
                count.skipped.append(f'{name}: {m.group(1) if m else "no reason given"}')
                plan = results = 1
        elif m := RESULT.match(line):
            results += 1
            if m.group(1):
                count.fail(f'{name}: {m.group(3) or "test " + str(results)}')
            elif skip := SKIP.search(m.group(3)):
                count.skipped.append(f'{name}: {skip.group(1)}')
            else:
                count.passed += 1
    bad = count.failed > before
    if status in WHY:
        count.fail(f'{name}: {WHY[status]}')
    elif status not in ('0', '4') and not bad:
        count.fail(f'{name}: ended with status {status}')
    elif not results:
        count.fail(f'{name}: printed no result')
    elif plan is None:
        count.fail(f'{name}: printed no plan')
    elif plan != results:
        count.fail(f'{name}: planned {plan} tests, saw {results}')
    if count.failed > before:
        report = [line for line in lines if line.startswith('# kernel')][:80]
        for line in [line for line in lines if line not in report][-40:] + report:
            print(f'    {name}| {line}')


def read(count, path):
    where = path.rsplit('/', 1)[-1].removesuffix('.tap') + '/'
    before = count.failed
    try:
        text = open(path, errors='replace').read().replace('\r', '')
    except OSError as e:
        count.fail(f'{path}: {e.strerror}')
        return
    name, lines, verdict = None, [], None
    for line in text.split('\n'):
        if verdict is not None and line:
            count.fail(f'{where}: goes on after its verdict: {line}')
            return
        if m := re.match(r'^# begin (\S+)$', line):
            if name:
                program(count, where + name, 'no end', lines)
            name, lines = m.group(1), []
        elif m := re.match(r'^# end (\S+) (\S+)$', line):
            program(count, where + m.group(1), m.group(2), lines)
            name, lines = None, []
        elif m := re.match(r'^verdict:\s*(.*)', line):
            verdict = m.group(1)
        else:
            lines.append(line.removeprefix('| '))
    if name:
        program(count, where + name, 'none: the guest died in it', lines)
    if verdict is None:
        count.fail(f'{where}: no verdict')
    elif verdict.startswith('fail') and count.failed == before:
        count.fail(f'{where}: verdict {verdict}')


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
