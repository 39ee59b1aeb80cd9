"""Maintains the tables of docs/conformance.md, which are generated from the results of the tests.

A test passes its rows; `settle` writes them, or checks that the document has the same rows, except for cells that are
numbers, which may differ from run to run. A number that has to match exactly is passed as text: "none" or "2 known", not "2".
"""

import difflib
import re
import sys

DOCUMENT = "docs/conformance.md"


def rendered(rows):
    head, *rest = rows
    lines = [head, ["---"] * len(head), *rest]
    return "".join("| " + " | ".join(str(cell) for cell in line) + " |\n" for line in lines)


def without_numbers(text):
    return [re.sub(r"(?<=\| )\d+(?= \|)", "#", line) for line in text.splitlines()]


def settle(name, rows, write):
    """Writes the table called NAME, or ends with what is not true in it. Says whether all is well."""
    with open(DOCUMENT, encoding="utf-8") as file:
        text = file.read()
    table = rendered(rows)
    start, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->\n"
    before, found, rest = text.partition(start)
    old, closed, after = rest.partition(end)
    if not found or not closed:
        print(f"{DOCUMENT} has no place for the table {name}", file=sys.stderr)
        return False
    if write:
        with open(DOCUMENT, "w", encoding="utf-8") as file:
            file.write(before + start + table + end + after)
        return True
    said, is_so = without_numbers(old), without_numbers(table)
    if said == is_so:
        return True
    print(f"{DOCUMENT} is not true any more; make it again with tests/foreign/{name} --table:", file=sys.stderr)
    print("\n".join(difflib.unified_diff(said, is_so, "the document", "this run", lineterm="")), file=sys.stderr)
    return False
