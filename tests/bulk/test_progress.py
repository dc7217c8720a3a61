"""Rate and time left, from a clock that stands in for the real one."""

from __future__ import annotations

import time

import pytest

from cgsam_edge.cli import label


def test_the_rate_counts_from_the_first_picture(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Opening the engines takes a minute; then two pictures a second: 58 more pictures need 29 seconds."""
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    with label.LabelProgress() as progress:
        for seconds, done in ((0, 20), (60, 21), (90.5, 82), (119.5, 140)):
            now[0] = seconds
            progress(done, 140)
    assert [line for line in capsys.readouterr().err.splitlines() if "pictures" in line] == [
        "82 of 140 pictures, 2 a second, 29 s left",
        "140 of 140 pictures, 2 a second",
    ]
