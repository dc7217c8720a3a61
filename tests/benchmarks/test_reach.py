"""The table of consumers says what their files hold, and refuses files that are none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import reach


def result(**changes: Any) -> dict[str, Any]:
    return {
        "target": "C++ on Arm",
        "engine": "onnxruntime 1.32.0",
        "how": "emulated",
        "date": "2026-11-26",
        "formats": [1],
        "stages": {"pixels": {"passed": 7, "of": 7}, "map": {"passed": 4, "of": 5}},
        "masks": {"count": 14, "least_iou": 0.99987, "pixels_differ": 2, "pixels": 1000},
        "hostile": {"refused": 29, "of": 29},
        "nodes_elsewhere": None,
        "seconds": {"open": 0.5, "image": 0.25, "concept": 0.0625, "decoder": 0.004},
        "peak_memory": 123_000_000,
        **changes,
    }


def test_a_row_a_consumer() -> None:
    page = reach.page([result(), result(target="Browser", how="hardware", notes="No threads.")])
    rows = [line for line in page.splitlines() if line.startswith(("| C++", "| Browser"))]
    assert rows[0].startswith("| Browser | onnxruntime 1.32.0 | hardware | 1 | 14 | 0.99987 | 2 of 1000 | 29 |")
    assert rows[1].endswith("| 500 | 250 | 62 | 4 | 123 MB | 2026-11-26 |")
    assert "| 7 | **4 of 5** | not run |" in rows[3]
    assert "- Browser: No threads." in page


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "cannot be read"),
        ('{"target": "x"}', "lacks engine"),
        (json.dumps(result(stages={"colours": {"passed": 1, "of": 1}})), "colours"),
        (json.dumps(result(how="guessed")), "guessed"),
    ],
)
def test_other_files_are_refused(text: str, says: str, tmp_path: Path) -> None:
    path = tmp_path / "odd.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SystemExit, match=says) as caught:
        reach.read(path)
    assert str(path) in str(caught.value)


def test_the_committed_page_is_what_the_command_writes() -> None:
    results = [reach.read(path) for path in sorted((reach.PAGE.parent / "results").glob("*.json"))]
    assert reach.PAGE.read_text(encoding="utf-8") == reach.page(results)
