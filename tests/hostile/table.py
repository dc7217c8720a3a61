"""The table of all cases, which ``python -m tests.hostile`` writes."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from tests.hostile import bundles, checkpoints, clips, concept_files, label_files, no_checkpoints, pictures
from tests.hostile.cases import CASES, Case
from tests.hostile.readers import READERS

MAKERS = (bundles, checkpoints, clips, concept_files, label_files, no_checkpoints, pictures)
"""The modules whose makers fill `CASES`."""

README = Path(__file__).with_name("README.md")

_HEAD = """\
# Hostile files

{count} files that a user may have and no reader may trust. Each is made by a function in this folder, given to the
command that reads it, and held to the exit code and message below by `test_hostile.py`. Exit code 0: read rightly, and
what was left out is said. Exit code 3: refused, with the file's name. "…" stands for what differs from run to run.

This page is written by `python -m tests.hostile`; a test holds it up to date.
"""


def page() -> str:
    """Return the page as Markdown."""
    return _HEAD.format(count=len(CASES)) + "".join(map(_section, READERS))


def _section(kind: str) -> str:
    found = sorted((case for case in CASES if case.kind == kind), key=lambda case: (case.code, case.name))
    lines = [f"\n## {kind[0].upper()}{kind[1:]}: {len(found)}\n", f"Read by `{READERS[kind].command}`.\n"]
    lines += ["| what | exit code | message |", "|---|---|---|", *map(_row, found)]
    return "\n".join(lines) + "\n"


def _row(case: Case) -> str:
    says = case.says.encode("unicode_escape").decode() if not case.says.isprintable() else case.says
    return f"| {case.about} | {case.code} | {says.replace('|', chr(92) + '|')} |"


def repeated() -> list[str]:
    """Return names that two cases of a kind share."""
    counts = Counter((case.kind, case.name) for case in CASES)
    return [name for (_, name), count in counts.items() if count > 1]
