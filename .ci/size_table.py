"""Keeps the README's size table equal to what .ci/size measured.

usage: size_table.py check | write, with the lines of .ci/size on standard input
"""

import pathlib
import re
import sys

README = pathlib.Path("README.md")
HEAD = "| block | text | data | bss | stack | limit of text | |\n|---|---:|---:|---:|---:|---:|---|\n"
TABLE = re.compile(re.escape(HEAD) + r"(?:\|.*\|\n)*")
# Compilers differ: a table is stale when a block has moved by more than this share of itself.
SLACK = 0.10


def measured(lines):
    for line in lines:
        if line.strip():
            block, *pairs, verdict = line.split()
            numbers = dict(pair.split("=") for pair in pairs)
            yield block, [int(numbers[name]) for name in ("text", "data", "bss", "stack", "limit")], verdict


def rows(text):
    for line in text.splitlines()[2:]:
        block, *cells, verdict = [cell.strip() for cell in line.strip("|").split("|")]
        yield block, [int(cell.replace(",", "")) for cell in cells], verdict


def main(task):
    readme = README.read_text()
    found = TABLE.search(readme)
    blocks = list(measured(sys.stdin))
    if not found or not blocks:
        print("error: README.md has no size table, or nothing was measured", file=sys.stderr)
        return 1
    if task == "write":
        table = HEAD + "".join(
            f"| {block} | {' | '.join(format(number, ',') for number in numbers)} | {verdict} |\n" for block, numbers, verdict in blocks
        )
        README.write_text(readme[: found.start()] + table + readme[found.end() :])
        return 0
    shown = {block: (numbers, verdict) for block, numbers, verdict in rows(found.group())}
    stale = set(shown) ^ {block for block, _, _ in blocks}
    for block, numbers, verdict in blocks:
        text, old = numbers[0], shown.get(block, ([0], ""))
        if abs(text - old[0][0]) > SLACK * text or verdict != old[1]:
            stale.add(block)
    if stale:
        print(f"error: the README's size table is stale for {', '.join(sorted(stale))}: run .ci/size --readme", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
