"""Polygons that were computed before: the same data sets, byte for byte, and nothing left to compute."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cgsam_edge.datasets import FORMATS, POLYGON_FORMATS, LabelledPicture
from cgsam_edge.errors import InputError
from tests.datasets.pictures import CONCEPTS, box, draw_images, picture, pictures


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


@pytest.mark.parametrize("outlines", ["[]", "{", "[1,2,3]"])
def test_outlines_of_other_labels_are_refused(outlines: str) -> None:
    with pytest.raises(InputError, match="is no labelled picture"):
        LabelledPicture.from_json(pictures()[0].to_json(), outlines)
