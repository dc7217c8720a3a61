"""Numbers in sentences: one thing, or several."""

from __future__ import annotations

import pytest

from cgsam_edge.cli.label import LabelProgress
from cgsam_edge.wording import amount, left_out


@pytest.mark.parametrize(("number", "text"), [(0, "0 pictures"), (1, "1 picture"), (2, "2 pictures")])
def test_one_thing_is_no_plural(number: int, text: str) -> None:
    assert amount(number, "picture") == text


def test_what_was_left_out() -> None:
    assert (left_out(1), left_out(2)) == ("1 image or entry", "2 images or entries")


def test_an_interrupted_run_counts_its_pictures() -> None:
    with LabelProgress() as progress:
        progress(1, 3)
        assert progress.kept() == "1 picture is done, and its labels are kept."
        progress(2, 3)
        assert progress.kept() == "2 pictures are done, and their labels are kept."
