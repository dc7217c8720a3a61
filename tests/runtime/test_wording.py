"""Numbers in sentences: one thing, or several."""

from __future__ import annotations

from pathlib import Path

import pytest

from cgsam_edge import OutputError, PromptError
from cgsam_edge.arithmetic import ArithmeticProof, lines
from cgsam_edge.bulk.run_folder import check_room
from cgsam_edge.cli.label import LabelProgress
from cgsam_edge.prompts import check_clicks
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


def test_messages_count_one_thing_as_one(tmp_path: Path) -> None:
    proofs = {"onnxruntime": {"bfloat16": ArithmeticProof({}, "PyTorch", emulated=False, pictures=1)}}
    assert "on PyTorch, 1 picture)" in next(lines(proofs, "onnxruntime"))
    with pytest.raises(OutputError, match="labels of 1 picture and the data sets"):
        check_room(tmp_path, 1, 10**18)
    with pytest.raises(PromptError, match="2 points, but the bundle has 1 slot for clicks"):
        check_clicks([[1, 1], [2, 2]], None, None, (9, 9), 1)
