"""``python -m tests.hostile.fuzz [TARGET …] --minutes 5``: readers fed with what no tool writes, until time is up.

Hypothesis makes the inputs: the real thing with values changed at random places, bytes altered, cut and repeated, or
nonsense. A reader passes if it reads, or raises an intended error. What fails is shrunk and printed: make it a
case. The label readers have a separate fuzzer: ``EXAMPLES=5000 pytest tests/quality/test_label_fuzz.py``.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from cgsam_edge.bundle import Bundle
from cgsam_edge.cli.info import describe
from cgsam_edge.errors import CgsamError
from cgsam_edge.export.concepts import read_concepts
from cgsam_edge.export.parity import sample_picture
from cgsam_edge.names import fold, is_printable
from cgsam_edge.rle import decode_rle, encode_rle
from cgsam_edge.shipped import BUNDLE
from cgsam_edge.vocabulary import Vocabulary
from tests import tiny
from tests.hostile.kit import Kit, put, relist

Attempt = Callable[[st.DataObject, Path], None]

_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["name", "../x", "a\0", 0, -1, 2**63, 1e308, [], {}]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=8,
)


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, child in children for place in _places(child, (*path, key)))]


def _spoil(document: Any, place: tuple[Any, ...], value: Any, *, drop: bool) -> None:
    for key in place[:-1]:
        document = document[key]
    if drop:
        document.pop(place[-1])
    else:
        document[place[-1]] = value


def manifest(data: st.DataObject, folder: Path) -> None:
    """A manifest with values changed or left out at random places."""
    document = json.loads((BUNDLE / "manifest.json").read_text(encoding="utf-8"))
    for _ in range(data.draw(st.integers(1, 3))):
        chosen = random.Random(data.draw(st.integers(0, 10**6))).choice(_places(document)[1:])
        _spoil(document, chosen, data.draw(_VALUES), drop=data.draw(st.booleans()))
    put(folder / "hostile.cgsam" / "manifest.json", json.dumps(document))
    list(describe(Bundle(folder / "hostile.cgsam")))


def manifest_bytes(data: st.DataObject, folder: Path) -> None:
    """A manifest of altered bytes."""
    put(folder / "hostile.cgsam" / "manifest.json", _altered(data, (BUNDLE / "manifest.json").read_bytes()))
    list(describe(Bundle(folder / "hostile.cgsam")))


def _altered(data: st.DataObject, content: bytes) -> bytes:
    made = bytearray(content)
    choose = random.Random(data.draw(st.integers(0, 10**9)))
    for _ in range(data.draw(st.integers(1, 6))):
        at = choose.randrange(len(made))
        kind = choose.randrange(4)
        if kind == 0:
            made[at] = choose.randrange(256)
        elif kind == 1:
            made[at:at] = choose.randbytes(choose.randrange(1, 9))
        elif kind == 2:
            made[at:at] = made[at : at + choose.randrange(1, 64)]
        else:
            del made[at : at + choose.randrange(1, 64)]
        if not made:
            break
    return bytes(made)


def vocabulary(data: st.DataObject, folder: Path) -> None:
    """A vocabulary of altered bytes, or of arrays of any shape and type."""
    path, concepts = folder / "vocabulary.npz", Bundle(BUNDLE).manifest.concepts
    if data.draw(st.booleans()):
        put(path, _altered(data, (BUNDLE / "vocabulary.npz").read_bytes()))
    else:
        path.unlink(missing_ok=True)
        shapes = arrays.array_shapes(max_dims=4, max_side=12)
        kinds = arrays.scalar_dtypes() | st.sampled_from([np.dtype("f4")])
        names = data.draw(st.sets(st.sampled_from(["features", "rows", "presence", "screening", "more"])))
        made: dict[str, Any] = {name: data.draw(arrays.arrays(kinds, shapes)) for name in names}
        np.savez(path, **made)
    Vocabulary.load(path, concepts)


def vocabulary_in_a_bundle(data: st.DataObject, folder: Path) -> None:
    """A vocabulary of altered bytes for which the manifest vouches."""
    bundle = folder / "hostile.cgsam"
    put(bundle / "manifest.json", (BUNDLE / "manifest.json").read_bytes())
    put(bundle / "vocabulary.npz", _altered(data, (BUNDLE / "vocabulary.npz").read_bytes()))
    Bundle(relist(bundle, "vocabulary.npz"))


def concepts(data: st.DataObject, folder: Path) -> None:
    """A concepts file of any text or bytes; names that are read can be typed and stay what they are."""
    text = st.text(st.characters() | st.sampled_from("#|\\ \t\n\ufeff\u200b\u0301,\"'[]{}-"))
    content = data.draw(text.map(lambda made: made.encode("utf-8", "surrogatepass")) | st.binary(max_size=80))
    for line in read_concepts(put(folder / "c.txt", content)):
        for name in line.names:
            assert is_printable(name), name
            assert fold(fold(name)) == fold(name), name


def rle(data: st.DataObject, _: Path) -> None:
    """Masks that come back as they were, and counts that no encoder writes."""
    if data.draw(st.booleans()):
        mask = data.draw(arrays.arrays(np.bool_, arrays.array_shapes(min_dims=2, max_dims=2, max_side=40)))
        np.testing.assert_array_equal(decode_rle(encode_rle(mask)), mask)
        return
    size = data.draw(st.lists(st.integers(-1, 50), min_size=2, max_size=2) | _VALUES)
    counts = data.draw(st.text(st.characters(min_codepoint=40, max_codepoint=120)) | st.lists(st.integers()) | _VALUES)
    decode_rle({"size": size, "counts": counts})


TARGETS: dict[str, Attempt] = {
    attempt.__name__: attempt
    for attempt in (manifest, manifest_bytes, vocabulary, vocabulary_in_a_bundle, concepts, rle)
}


def fuzz(attempt: Attempt, minutes: float) -> int:
    """Feed one reader until time is up, and return how many inputs it got.

    Raises:
        Exception: whatever the reader raised that is not meant, with the input that led to it.
    """
    count = 0
    ends = time.monotonic() + 60 * minutes
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        Kit(tiny.model(tiny.config()), sample_picture(64)).bundle(folder)
        while time.monotonic() < ends:

            @seed(random.SystemRandom().randrange(2**32))
            @settings(max_examples=200, deadline=None, database=None, suppress_health_check=list(HealthCheck))
            @given(st.data())
            def some(data: st.DataObject) -> None:
                nonlocal count
                count += 1
                with suppress(CgsamError):
                    attempt(data, folder)

            some()
    return count


def main() -> None:
    """Run the requested targets, and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"any of {', '.join(TARGETS)} (default: all)")
    parser.add_argument("--minutes", type=float, default=5.0, help="for each (default: 5)")
    options = parser.parse_args()
    for name in options.targets or TARGETS:
        count = fuzz(TARGETS[name], options.minutes)
        print(f"{name}: {count} inputs in {options.minutes:g} minutes, all read or refused by name", flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
