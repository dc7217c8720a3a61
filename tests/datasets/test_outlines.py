"""Polygons that were computed before: the same data sets, byte for byte, and nothing left to compute."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cgsam_edge.datasets import FORMATS, POLYGON_FORMATS, LabelledPicture
from cgsam_edge.errors import InputError
from tests.datasets.pictures import CONCEPTS, HEIGHT, WIDTH, box, draw_images, picture, pictures


def held(one: LabelledPicture) -> LabelledPicture:
    return LabelledPicture.from_json(one.to_json(), one.outlines_json())


def refuse(*_: object) -> None:
    raise AssertionError("polygons were computed again")


def test_all_formats_with_polygons_are_known() -> None:
    assert set(FORMATS) - {"voc"} == POLYGON_FORMATS


@pytest.mark.parametrize("form", FORMATS)
def test_writers_give_the_same_bytes_without_computing(
    form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three objects: a rectangle, a disc, and a disc with a hole."""
    source = draw_images(tmp_path / "source")
    FORMATS[form].write(pictures(), CONCEPTS, tmp_path / "computed", images=source.joinpath)
    given = [held(one) for one in pictures()]
    monkeypatch.setattr("cgsam_edge.datasets.picture.mask_polygons", refuse)
    FORMATS[form].write(given, CONCEPTS, tmp_path / "held", images=source.joinpath)
    files = sorted(path for path in (tmp_path / "computed").rglob("*") if path.is_file())
    assert files
    for path in files:
        assert (tmp_path / "held" / path.relative_to(tmp_path / "computed")).read_bytes() == path.read_bytes()


def test_the_outline_of_a_rectangle_is_its_corners() -> None:
    one = picture("a.png", {"car": box()})
    assert one.outlines_json() == "[[[[5,10,40,10,40,30,5,30]]]]"
    assert held(one) == one, "outlines follow from the masks"


def test_another_tolerance_is_computed() -> None:
    """Of a disc, whose exact outline has more corners."""
    one = held(pictures()[1]).objects[0]
    (usual,), (exact,) = one.polygons(), one.polygons(0)
    assert len(exact.exterior) > len(usual.exterior)
    assert usual.exterior.dtype == exact.exterior.dtype == np.float32


def test_an_edited_mask_has_no_outlines_of_the_old_one() -> None:
    one = held(picture("a.png", {"car": box()})).objects[0]
    (other,) = picture("a.png", {"car": np.roll(box(), 5, axis=1)}).objects
    edited = replace(one, rle=other.rle)
    assert (edited.outlines, edited.computed_outlines()) == (None, other.computed_outlines())
    assert replace(one, score=0.5).outlines == one.outlines
    assert replace(edited, rle=one.rle, outlines=one.outlines).outlines == one.outlines


@given(st.binary(min_size=60, max_size=60), st.integers(1, 7), st.integers(1, 3))
def test_outlines_of_any_mask_are_taken(cells: bytes, many: int, scale: int) -> None:
    """With parts so small that they have none."""
    mask = np.kron(np.frombuffer(cells, np.uint8).reshape(6, 10) % 8 < many, np.ones((scale, scale), bool))
    canvas = np.zeros((HEIGHT, WIDTH), bool)
    canvas[: mask.shape[0], : mask.shape[1]] = mask
    canvas[20:, 40:] = True
    one = picture("a.png", {"car": canvas})
    assert held(one).objects[0].outlines == one.objects[0].computed_outlines()


@pytest.mark.parametrize(
    "outlines",
    [
        *("[]", "{", "[1,2,3]", "[[]]", "[[[[5,10,40,10,40]]]]", "[[[[5.0,10,40,10,40,30,5,30]]]]"),
        "[[[[5,10,40,10,40,30,4,30]]]]",
        "[[[[15,15,30,15,30,25,15,25]]]]",
    ],
)
def test_outlines_of_another_mask_are_refused(outlines: str) -> None:
    one = picture("a.png", {"car": box()})
    assert LabelledPicture.from_json(one.to_json(), "[[[[5,10,40,10,40,30,5,30]]]]") == one
    with pytest.raises(InputError, match="is no labelled picture"):
        LabelledPicture.from_json(one.to_json(), outlines)


@pytest.mark.parametrize("outlines", ["[]", "{", "[1,2,3]"])
def test_outlines_of_other_labels_are_refused(outlines: str) -> None:
    with pytest.raises(InputError, match="is no labelled picture"):
        LabelledPicture.from_json(pictures()[0].to_json(), outlines)
