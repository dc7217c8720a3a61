"""Whatever a label file holds, reading it gives labels or an error that is meant; `EXAMPLES=5000` for a long run."""

from __future__ import annotations

import json
import os
import random
import tempfile
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from cgsam_edge.errors import InputError
from cgsam_edge.quality.labels import Remarks, read_classes
from cgsam_edge.quality.labels.coco import open_coco
from cgsam_edge.quality.labels.index_png import read_indices
from tests.quality.coco_files import Dataset

T = TypeVar("T")

EXAMPLES = settings(max_examples=int(os.environ.get("EXAMPLES", "60")), deadline=None)

VALUE = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["a.png", 7, 3, "7"]),
    lambda inner: (
        st.lists(inner, max_size=6) | st.dictionaries(st.sampled_from(["id", "name", "size", "counts"]), inner)
    ),
    max_leaves=8,
)


def outcome(read: Callable[[], T]) -> tuple[T | None, str]:
    """Return what is read, or the message of the error."""
    try:
        return read(), ""
    except InputError as error:
        return None, str(error)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """All paths to values in a document."""
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, child in children for place in places(child, (*path, key)))]


def changed(document: Any, path: tuple[Any, ...], change: Callable[[Any, Any], None]) -> None:
    """Apply a change to what holds the value at a path."""
    for key in path[:-1]:
        document = document[key]
    change(document, path[-1])


@EXAMPLES
@given(seed=st.integers(0, 10**9), values=st.lists(VALUE, min_size=1, max_size=3), drop=st.booleans())
def test_coco_files(seed: int, values: list[Any], drop: bool) -> None:
    choose = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        data = Dataset(Path(folder))
        document = deepcopy(data.document)
        for value in values:
            path = choose.choice(places(document)[1:])
            if drop:
                changed(document, path, lambda holder, key: holder.pop(key))
            else:
                changed(document, path, lambda holder, key, value=value: holder.__setitem__(key, value))  # type: ignore[misc]
            if not places(document)[1:]:
                break
        data.path.write_text(json.dumps(document))
        remarks = Remarks()
        images, message = outcome(lambda: list(open_coco(data.images, data.path).read(remarks)))
        if images is None:
            assert str(data.path) in message
            return
        assert len(images) + len(remarks.left_out) >= 1
        for image in images:
            assert all(mask.shape == (40, 60) and mask.dtype == bool for mask in image.masks.values())


@EXAMPLES
@given(content=st.binary(max_size=60) | st.text(max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_class_files_and_json(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "file")
        path.write_bytes(content)
        for read in (read_classes, lambda file: open_coco(Path(folder), file)):
            got, message = outcome(lambda read=read: read(path))  # type: ignore[misc]
            assert got is not None or str(path) in message


@EXAMPLES
@given(
    seed=st.integers(0, 10**9), mode=st.sampled_from(["L", "P", "1", "RGB", "RGBA", "LA", "I;16"]), cut=st.booleans()
)
def test_label_pngs(seed: int, mode: str, cut: bool) -> None:
    choose = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.png")
        Image.new(mode, (9, 5)).save(path)
        content = bytearray(path.read_bytes())
        for _ in range(choose.randint(1, 4)):
            content[choose.randrange(8, len(content))] = choose.randrange(256)
        path.write_bytes(content[: choose.randrange(len(content))] if cut else content)
        indices, message = outcome(lambda: read_indices(path))
        assert str(path) in message if indices is None else indices.ndim == 2
