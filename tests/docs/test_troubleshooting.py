"""Messages that the page "Troubleshooting" explains are messages that the program gives."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from tests.docs.blocks import ROOT

PAGE = ROOT / "docs" / "help" / "troubleshooting.md"
NOT_OURS = {"libGL.so.1"}
"""Of another program: what the page quotes word by word."""


def said() -> list[str]:
    """Return every string of the package's code, each f-string joined, with a mark where a value goes."""
    found = []
    for room in ("cgsam_edge", "runtimes", "export", "calibration"):
        for path in (ROOT / room).rglob("*.py"):
            found += [_text(node) for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))]
    return [text for text in found if text]


def _text(node: ast.AST) -> str:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(part) if isinstance(part, ast.Constant) else "\0" for part in node.values)
    return ""


def test_each_message_is_one_of_the_programs() -> None:
    quoted = re.findall(r"^### `(.+?)`", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(quoted) > 20
    strings = said()
    unknown = [message for message in quoted if message not in NOT_OURS and not _is_said(message, strings)]
    assert not unknown, "no code says these: have they been reworded?"


def _is_said(message: str, strings: list[str]) -> bool:
    pattern = re.compile(".*".join(re.escape(part.strip()) for part in message.split("…")), re.DOTALL)
    return any(pattern.search(text) for text in strings)


def test_a_message_that_nobody_gives_is_found() -> None:
    assert not any("the flux capacitor is cold" in text for text in said())
    assert Path(PAGE).exists()
