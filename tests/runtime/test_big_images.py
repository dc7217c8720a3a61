"""Masks and pictures of big images, put together a strip at a time: the same pixels as in one piece."""

from __future__ import annotations

import platform
import subprocess
import sys
import tracemalloc

import cv2
import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco

from cgsam_edge import strips as strips_module
from cgsam_edge.mask_runs import MaskRuns
from cgsam_edge.results import ConceptResult, Result
from cgsam_edge.strips import strip_edges, strips

RNG = np.random.default_rng(0)


def blobs(side: int) -> np.ndarray:
    """Smooth noise: a mask of many parts that meets all borders."""
    return np.asarray(cv2.GaussianBlur(RNG.standard_normal((side, side)).astype(np.float32), (0, 0), side / 16) * 100)


def concept(name: str, size: tuple[int, int], *, present: bool = True, side: int = 64) -> ConceptResult:
    none, inside = np.zeros((0, 2), np.float32), np.array([[3, 4]], np.float32)
    evidence, similarity = np.zeros(7, np.float32), np.zeros((2, 2), np.float32)
    points, labels = (inside, np.ones(1, np.float32)) if present else (none, none[:, 0])
    return ConceptResult(name, blobs(side), 0.5, 0.5, present, evidence, similarity, points, labels, None, size)


def in_one_piece(one: ConceptResult) -> np.ndarray:
    return np.asarray(cv2.resize(one.logits, one.image_size, interpolation=cv2.INTER_LINEAR))


@pytest.fixture(params=[(97, 61), (640, 480), (1001, 333), (333, 1001), (2, 900), (900, 2), (3, 3), (257, 64)])
def size(request: pytest.FixtureRequest) -> tuple[int, int]:
    """Width and height."""
    found: tuple[int, int] = request.param
    return found


@pytest.fixture(params=[1, 5000, 2**40], ids=["narrow", "some", "one strip"])
def narrow(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Strips of few bytes, as big images have."""
    monkeypatch.setattr(strips_module, "STRIP_BYTES", request.param)
    monkeypatch.setattr(strips_module, "STACK_BYTES", 10 * request.param)


@pytest.mark.usefixtures("narrow")
def test_strips_are_opencvs_image_to_the_last_bit(size: tuple[int, int]) -> None:
    one = concept("car", size)
    joined = np.concatenate([strip for _, strip in strips(one.logits, *size)], axis=1)
    np.testing.assert_array_equal(joined, in_one_piece(one))
    columns = [part for part, _ in strips(one.logits, *size)]
    assert [part.start for part in columns] == [0, *(part.stop for part in columns[:-1])]
    np.testing.assert_array_equal(one.mask, in_one_piece(one) > 0)


def test_no_strip_has_one_column_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strips_module, "STRIP_BYTES", 1)
    for width in range(2, 40):
        assert min(np.diff(strip_edges(width, 7))) >= 2
    assert strip_edges(12_000, 8_000)[-1] == 12_000


@pytest.mark.usefixtures("narrow")
def test_area_box_and_rle_are_pycocotools(size: tuple[int, int]) -> None:
    for _ in range(3):
        one = concept("car", size)
        expected = coco.encode(np.asfortranarray(in_one_piece(one) > 0).view(np.uint8))
        assert one.rle() == {"size": list(expected["size"]), "counts": expected["counts"].decode()}
        assert one.area == coco.area(expected) == one.mask.sum()
        box = one.bounding_box()
        assert list(box or (0, 0, 0, 0)) == coco.toBbox(expected).tolist()


@pytest.mark.parametrize("edges", [[], [0, 12], [0, 3], [9, 12], [2, 4], [1, 2, 4, 5], [3, 9]])
def test_runs_by_hand(edges: list[int]) -> None:
    """A mask of 3 rows and 4 columns, filled along its columns."""
    flat = np.zeros(12, bool)
    for start, end in zip(edges[::2], edges[1::2], strict=True):
        flat[start:end] = True
    mask = flat.reshape(4, 3).T
    for cuts in ([4], [2, 4], [1, 2, 3, 4]):
        parts = [mask[:, a:b] for a, b in zip([0, *cuts[:-1]], cuts, strict=True)]
        runs = MaskRuns.of(parts, (3, 4))
        assert runs.edges.tolist() == edges
        expected = coco.encode(np.asfortranarray(mask).view(np.uint8))
        assert runs.rle()["counts"] == expected["counts"].decode()
        assert list(runs.bounding_box() or (0, 0, 0, 0)) == coco.toBbox(expected).tolist()


def result(size: tuple[int, int]) -> Result:
    picture = Image.fromarray(RNG.integers(0, 256, (*size[::-1], 3), dtype=np.uint8))
    return Result(
        picture, {name: concept(name, size, present=name != "tree") for name in ("car", "tree", "road", "sky")}
    )


@pytest.mark.usefixtures("narrow")
def test_labels_go_to_the_greatest_logit(size: tuple[int, int]) -> None:
    found = result(size)
    stack = np.stack([np.where(one.present, in_one_piece(one), -1) for one in found.values()])
    np.testing.assert_array_equal(found.label_map(), np.where(stack.max(0) > 0, stack.argmax(0), -1))
    assert found.label_map().dtype == np.int32


def test_an_overlay_in_strips_is_the_overlay(monkeypatch: pytest.MonkeyPatch, size: tuple[int, int]) -> None:
    found = result(size)
    monkeypatch.setattr(strips_module, "STRIP_BYTES", 2**40)
    whole = np.asarray(found.overlay())
    monkeypatch.setattr(strips_module, "STRIP_BYTES", 3000)
    np.testing.assert_array_equal(np.asarray(found.overlay()), whole)


def test_tint_and_outline_by_hand() -> None:
    """An image that is all one concept: its inside is mixed, its border has the colour itself."""
    size = (60, 40)
    one = concept("car", size)
    one.logits[:] = 1
    drawn = np.asarray(Result(Image.new("RGB", size, (100, 100, 100)), {"car": one}).overlay(opacity=0.5))
    colour = drawn[0, 0]
    assert (drawn[0, :60] == colour).all()
    assert (drawn[:, 59] == colour).all()
    inside = np.asarray([100, 100, 100]) * 0.5 + colour * 0.5
    assert np.abs(drawn[30, 30].astype(int) - inside).max() <= 1
    many = {f"c{i}": concept(f"c{i}", size) for i in range(200)}  # codes of two bytes
    assert Result(Image.new("RGB", size), many).overlay().height == 40


RETURNED = """
import sys
import numpy as np, psutil
from cgsam_edge.cli.memory import return_big_blocks
assert return_big_blocks()
process, kept = psutil.Process(), []
before = process.memory_info().rss
for _ in range(3):  # after the first, glibc would keep such blocks
    blocks = []
    for _ in range(20):
        blocks.append(np.ones(2**24, np.uint8))
        kept.append(bytearray(900_000))  # on top of them
    del blocks
print(process.memory_info().rss - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="it is glibc that keeps them")
def test_blocks_of_photos_go_back_to_the_system() -> None:
    done = subprocess.run([sys.executable, "-c", RETURNED], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 150e6  # 54 MB are kept, and 335 MB were freed


def test_no_float_image_of_the_photos_size_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    """11 concepts in 4 megapixels: as floats they are 176 MB, and one is 16 MB."""
    monkeypatch.setattr(strips_module, "STRIP_BYTES", 2**20)
    monkeypatch.setattr(strips_module, "STACK_BYTES", 2**22)
    size = (2000, 2000)
    found = Result(Image.new("RGB", size), {f"c{i}": concept(f"c{i}", size) for i in range(11)})
    for work, most in ((found.to_coco, 14e6), (found.label_map, 30e6), (lambda: found["c0"].mask, 8e6)):
        tracemalloc.start()
        work()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < most
    assert not any("mask" in vars(one) for one in found.values() if one.name != "c0")
