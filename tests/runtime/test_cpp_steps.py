"""The C++ library's steps on the test vectors, in any run of the tests: they need a compiler and nothing else.

With an engine, and under sanitisers, QEMU and Wine: `make test-cpp`, `make test-cpp-arm64`, `make test-cpp-windows`.
"""

from __future__ import annotations

import ctypes
import io
import shutil
import subprocess
from ctypes import c_float, c_int
from typing import Any

import numpy as np
import pytest

from tests.shelf import Shelf
from tests.source import ROOT
from tests.vectors.values import problem, read, read_index

CPP = ROOT / "cpp"
SOURCES = [CPP / "tests" / "steps.cpp", *(CPP / "src" / f"{name}.cpp" for name in ("image", "prompts", "names", "npz"))]
COMPILER = shutil.which("c++") or shutil.which("g++")


@pytest.fixture(scope="module")
def library(shelf: Shelf) -> ctypes.CDLL:
    if COMPILER is None:
        pytest.skip("no C++ compiler on this machine")
    options = ["-std=c++17", "-ffp-contract=off", "-shared", "-fPIC", f"-I{CPP / 'include'}"]

    def build(path: Any) -> None:
        subprocess.run([str(COMPILER), *options, "-o", str(path), *map(str, SOURCES)], check=True)

    made = ctypes.CDLL(str(shelf.get("cgsam_steps.so", build)))
    made.same_name.restype = ctypes.c_bool
    return made


def pointer(array: Any) -> Any:
    return array.ctypes.data_as(ctypes.c_void_p)


def computed(library: Any, stage: str, given: dict[str, Any], like: Any) -> Any:
    """Return the library's output for a vector, as an array like the expected one."""
    out, held = np.zeros_like(like), {key: read(value) for key, value in given.items()}
    if stage in ("pixels", "upright"):
        image = np.ascontiguousarray(held["image"])
        how = held["size"] if stage == "pixels" else held["orientation"]
        getattr(library, stage)(pointer(image), image.shape[1], image.shape[0], how, pointer(out))
    elif stage == "map":
        similarity = np.ascontiguousarray(held["similarity"])
        library.map(pointer(similarity), len(similarity), held["size"], pointer(out))
    elif stage == "dense":
        threshold, value = c_float(held["threshold"]), c_float(held["dense_value"])
        full = np.ascontiguousarray(held["map"])
        library.dense(pointer(full), len(full), held["mask_size"], threshold, value, pointer(out))
    elif stage == "mask":
        logits = np.ascontiguousarray(held["logits"])
        library.mask(pointer(logits), len(logits), held["width"], held["height"], pointer(out))
    return out


@pytest.mark.parametrize("stage", ["pixels", "upright", "map", "dense", "mask"])
def test_a_step_on_its_vectors(library: Any, stage: str) -> None:
    vectors = [vector for vector in read_index()["vectors"] if vector["stage"] == stage]
    assert len(vectors) >= 3
    for vector in vectors:
        wanted = read(vector["expected"][stage])
        assert problem(stage, stage, wanted, computed(library, stage, vector["given"], wanted)) is None, vector["name"]


def test_points_of_text_alone(library: Any) -> None:
    for vector in read_index()["vectors"]:
        if vector["stage"] == "points":
            full, wanted = np.ascontiguousarray(read(vector["given"]["map"])), vector["expected"]["points"]
            out = np.zeros((len(wanted), 2), np.int32)
            height, width = full.shape
            threshold, count = c_float(vector["given"]["threshold"]), c_int(vector["given"]["points"])
            library.points(pointer(full), width, height, threshold, count, pointer(out))
            assert out.tolist() == wanted, vector["name"]


def test_names(library: Any) -> None:
    vectors = [vector for vector in read_index()["vectors"] if vector["stage"] == "names"]
    assert len(vectors) > 5
    for vector in vectors:
        given = vector["given"]
        assert library.same_name(given["a"].encode(), given["b"].encode()) is vector["expected"]["same"], given


def arrays(library: Any, content: bytes) -> tuple[int, str]:
    message = ctypes.create_string_buffer(500)
    count = library.arrays(content, ctypes.c_size_t(len(content)), message, ctypes.c_size_t(500))
    return count, message.value.decode()


def test_archives_that_were_cut_or_altered(library: Any) -> None:
    held = io.BytesIO()
    np.savez(held, features=np.ones((3, 4), np.float32), rows=np.zeros((3, 0, 0), np.float32))
    whole = held.getvalue()
    assert arrays(library, whole) == (2, "")
    for end in range(0, len(whole) - 1, 7):
        assert arrays(library, whole[:end])[0] == -1
    at = whole.index(np.ones(4, np.float32).tobytes())
    count, message = arrays(library, whole[:at] + b"\1" + whole[at + 1 :])
    assert (count, "checksum" in message) == (-1, True)
    packed = io.BytesIO()
    np.savez_compressed(packed, features=np.ones((3, 4), np.float32))
    assert "compressed" in arrays(library, packed.getvalue())[1]
