"""The command blocks of README and docs, read as a person reads them: what is typed, and what should be printed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

ROOT = Path(__file__).parents[2]
LANGUAGES = ("bash", "python")

_FENCE = re.compile(
    r"^(?P<indent> *)```(?P<language>\w*)[^\n]*\n(?P<body>.*?)^(?P=indent)```\s*$", re.MULTILINE | re.DOTALL
)
_COMMENT = re.compile(r"<!-- *(?P<text>(?:(?!-->).)*?) *-->\s*$", re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A command block.

    Attributes:
        file: the document.
        line: of its first line.
        language: "bash" or "python".
        code: what a user types.
        expected: what is printed, in the block of text that follows; empty where none does.
        reason: why it is not run; empty where it is.
        slow: whether it exports or measures.
    """

    file: Path
    line: int
    language: str
    code: str
    expected: str
    reason: str
    slow: bool


def documents() -> list[Path]:
    """Return README and all pages, in order of names."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def read(file: Path) -> list[Block]:
    """Return the command blocks of a document, in its order."""
    text = file.read_text(encoding="utf-8")
    fences = list(_FENCE.finditer(text))
    blocks = []
    for index, fence in enumerate(fences):
        if fence["language"] not in LANGUAGES:
            continue
        comment = _COMMENT.search(text[: fence.start()].rstrip() + "\n")
        said = comment["text"] if comment else ""
        blocks.append(
            Block(
                file,
                text.count("\n", 0, fence.start()) + 1,
                fence["language"],
                dedent(fence["body"]),
                _expected(text, fences, index),
                said.removeprefix("not run:").strip() if said.startswith("not run:") else "",
                said == "slow",
            )
        )
    return blocks


def _expected(text: str, fences: list[re.Match[str]], index: int) -> str:
    """Return the text block that follows a fence with nothing in between."""
    if index + 1 == len(fences) or fences[index + 1]["language"] != "text":
        return ""
    between = text[fences[index].end() : fences[index + 1].start()]
    return dedent(fences[index + 1]["body"]) if not between.strip() else ""


def differs(expected: str, printed: str) -> str:
    """Return the first line that was not printed as expected, or nothing.

    Figures may differ and words may not. "…" stands for anything, on a line alone for any lines.
    """
    pattern = "".join(_line(line) for line in expected.strip().splitlines())
    if re.fullmatch(pattern, printed.strip() + "\n"):
        return ""
    lines = [line for line in expected.strip().splitlines() if line.strip() != "…"]
    return next((line for line in lines if not re.search(_line(line), printed.strip() + "\n")), "the order of lines")


def _line(line: str) -> str:
    if line.strip() == "…":
        return r"(?:.*\n)*"
    parts = re.split(r"(…|\d+(?:\.\d+)?(?:e[+-]?\d+)?)", line.rstrip())
    figures = {"…": ".*"}
    return (
        "".join(
            figures.get(part, r"-?\d+(?:\.\d+)?(?:e[+-]?\d+)?") if i % 2 else re.escape(part)
            for i, part in enumerate(parts)
        )
        + r" *\n"
    )
