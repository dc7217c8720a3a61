"""Vectors of each step alone, which need no engine; `docs/bundle.md` numbers the steps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from cgsam_edge.image import load_image, to_pixels
from cgsam_edge.manifest import Geometry, Prompting
from cgsam_edge.presence import COLUMNS, evidence, judge
from cgsam_edge.prompts import check_clicks, dense_prompt, fill_slots, priority, similarity_map, text_points
from cgsam_edge.results import ConceptResult
from cgsam_edge.screening import Screened
from tests.vectors.values import Store, numbers

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Float = NDArray[np.float32]

PROMPTING = Prompting(0.8, 5, 255.0, 8, ("text", "clicks"), "tokens")


def rng(seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


def smooth(seed: int, grid: int) -> Float:
    """Similarities as CLIP's are: of some smoothness, and negative too."""
    return (0.1 * rng(seed).standard_normal((grid, grid)) + 0.05).astype(np.float32)


def add_all(store: Store) -> None:
    """Add the vectors of all steps."""
    for add in (_pixels, _upright, _maps, _dense, _priorities, _points, _slots, _masks, _presence, _screening, _names):
        add(store)


# Width, height and the square's side: smaller, larger, both at once, and one side or none that changes.
_SIZES = {
    "down": (150, 100, 48),
    "up": (20, 14, 64),
    "wide": (200, 9, 32),
    "tall": (7, 180, 32),
    "one_side": (48, 80, 48),
    "same": (40, 40, 40),
    "smallest": (2, 2, 33),
}


def _pixels(store: Store) -> None:
    for seed, (name, (width, height, size)) in enumerate(_SIZES.items()):
        picture = rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
        picture[: height // 2] = np.where(picture[: height // 2] > 127, 255, 0)  # edges as hard as they get
        pixels = to_pixels(Image.fromarray(picture), size)[0].astype(np.uint8)
        store.add("pixels", name, {"image": picture, "size": size}, {"pixels": pixels})


def _upright(store: Store) -> None:
    picture = rng(20).integers(0, 256, (2, 3, 3), dtype=np.uint8)
    for orientation in range(1, 9):
        image = Image.fromarray(picture)
        image.getexif()[0x0112] = orientation
        turned = np.asarray(load_image(image))
        store.add("upright", str(orientation), {"image": picture, "orientation": orientation}, {"upright": turned})


def _maps(store: Store) -> None:
    for name, grid, size in (("whole", 8, 64), ("fraction", 7, 50), ("one_patch", 1, 16)):
        given = smooth(30 + grid, grid)
        store.add("map", name, {"similarity": given, "size": size}, {"map": similarity_map(given, size)})
    flat = np.full((4, 4), np.float32(0.3))
    store.add("map", "flat", {"similarity": flat, "size": 16}, {"map": similarity_map(flat, 16)})
    nearly = flat.copy()
    nearly[2, 1] = np.nextafter(np.float32(0.3), np.float32(1))
    store.add("map", "nearly_flat", {"similarity": nearly, "size": 16}, {"map": similarity_map(nearly, 16)})


def _geometry(size: int, mask: int) -> Geometry:
    return Geometry(size, mask, 8, 48)


def _dense(store: Store) -> None:
    for name, seed, size, mask in (("quarter", 41, 64, 16), ("fraction", 42, 50, 16), ("larger", 43, 16, 40)):
        full = similarity_map(smooth(seed, 8), size)
        made = dense_prompt(full, _geometry(size, mask), PROMPTING)
        given = {"map": full, "mask_size": mask, "threshold": 0.8, "dense_value": 255.0}
        store.add("dense", name, given, {"dense": made[0, 0]})
    edge = np.full((16, 16), np.float32(0.8))  # which is not above the threshold
    edge[4] = np.nextafter(np.float32(0.8), np.float32(1))
    given = {"map": edge, "mask_size": 16, "threshold": 0.8, "dense_value": 255.0}
    store.add("dense", "at_the_threshold", given, {"dense": dense_prompt(edge, _geometry(16, 16), PROMPTING)[0, 0]})


def _priorities(store: Store) -> None:
    indices = [0, 1, 2, 3, 255, 65535, 1024 * 1024 - 1, 2**31, 2**32 - 1]
    values = priority(np.asarray(indices, np.uint64))
    store.add("priority", "splitmix64", {"index": indices}, {"priority": [f"{int(v):016x}" for v in values]})


def _points(store: Store) -> None:
    zeros = np.zeros((16, 16), np.float32)
    few = zeros.copy()
    few[3, 4], few[9, 1], few[12, 15] = 0.95, 0.81, 1.0
    ties = np.full((12, 16), np.float32(0.5))  # fewer than five above: the lowest indices of all that tie
    ties[7, 7] = 0.9
    exact = zeros.copy()
    exact.flat[[5, 50, 77, 130, 200]] = 0.9
    edge = few.copy()  # float32's 0.8 itself is not above the threshold; the next number is
    edge.flat[20:40] = np.float32(0.8)
    edge.flat[60] = np.nextafter(np.float32(0.8), np.float32(1))
    maps = {
        "many": similarity_map(smooth(51, 8), 64),
        "few": few,
        "none": zeros,
        "ties": ties,
        "exactly_enough": exact,
        "at_the_threshold": edge,
        "all": np.ones((16, 16), np.float32),
    }
    for name, full in maps.items():
        given = {"map": full, "threshold": 0.8, "points": 5}
        store.add("points", name, given, {"points": text_points(full, PROMPTING).astype(int).tolist()})


_CLICKS: dict[str, dict[str, Any]] = {
    "clicks": {"points": [[10.5, 20.25], [149, 0], [150, 100]], "labels": [1, 0, 1], "box": None},
    "box": {"points": [], "labels": [], "box": [3.5, 4.5, 120, 99]},
    "clicks_and_box": {"points": [[75, 50]], "labels": [0], "box": [0, 0, 150, 100]},
    "all_slots": {"points": [[i * 10.1, i * 7.3] for i in range(8)], "labels": [1, 0] * 4, "box": None},
    "labels_left_out": {"points": [[1, 2], [3, 4]], "labels": None, "box": None},
}
_REFUSED: dict[str, dict[str, Any]] = {
    "outside": {"points": [[150.5, 20]], "labels": [1], "box": None},
    "negative": {"points": [[10, -0.5]], "labels": [1], "box": None},
    "label_of_a_box": {"points": [[10, 20]], "labels": [2], "box": None},
    "labels_too_few": {"points": [[10, 20], [30, 40]], "labels": [1], "box": None},
    "too_many": {"points": [[i, i] for i in range(9)], "labels": [1] * 9, "box": None},
    "box_turned": {"points": [], "labels": [], "box": [100, 20, 50, 90]},
    "box_outside": {"points": [], "labels": [], "box": [0, 0, 151, 90]},
}


def _slots(store: Store) -> None:
    where = {"width": 150, "height": 100, "size": 256, "click_slots": 8}
    for name, prompt in _CLICKS.items():
        clicks = check_clicks(prompt["points"], prompt["labels"], prompt["box"], (150, 100), 8)
        points, labels = fill_slots(clicks, (150, 100), _geometry(256, 64), PROMPTING)
        expected = {"slot_points": numbers(points[0]), "slot_labels": labels[0].astype(int).tolist()}
        store.add("slots", name, {**where, **prompt}, expected)
    for name, prompt in _REFUSED.items():
        store.add("slots", name, {**where, **prompt}, {"refused": True})


def mask_of(logits: Float, width: int, height: int) -> NDArray[np.uint8]:
    """Return the mask (height, width) of logits as a result has it, 0 and 1."""
    none = np.zeros((0, 2), np.float32)
    kept: dict[str, Any] = {"score": 0.0, "presence": 0.0, "present": True, "evidence": none, "similarity": none}
    result = ConceptResult("", logits, **kept, points=none, labels=none, box=None, image_size=(width, height))
    return result.mask.astype(np.uint8)


def _masks(store: Store) -> None:
    for name, width, height in (("larger", 90, 61), ("smaller", 9, 20), ("mixed", 200, 8), ("same", 24, 24)):
        logits = (4 * smooth(60, 6)).astype(np.float32)
        logits = np.kron(logits, np.ones((4, 4), np.float32)) + 2 * smooth(61, 24)
        logits = logits.astype(np.float32)
        given = {"logits": logits, "width": width, "height": height}
        store.add("mask", name, given, {"mask": mask_of(logits, width, height)})
    for name, value in (("nothing", -10.0), ("at_zero", 0.0)):
        logits = np.full((8, 8), value, np.float32)
        given = {"logits": logits, "width": 20, "height": 11}
        store.add("mask", name, given, {"mask": mask_of(logits, 20, 11)})


def _presence(store: Store) -> None:
    row = np.asarray([2.0, 1.5, -1.0, 0.5, 3.0, -2.0, 1.0, -1.25, 0.5], np.float32)
    token, text = smooth(70, 4).ravel(), smooth(71, 4).ravel()
    cases = {
        "calibrated": (4 * smooth(72, 16), 0.7, row),
        "steep": (4 * smooth(73, 16), 0.9, 40 * row),
        "uncalibrated": (4 * smooth(72, 16), 1.25, np.full(COLUMNS, np.nan, np.float32)),
        "empty": (np.full((16, 16), np.float32(-10)), -0.1, row),
    }
    for name, (logits, score, weights) in cases.items():
        similarity = smooth(74, 8)
        found = evidence(logits, score, similarity, token, text)
        presence, present = judge(found, weights)
        given = {"logits": logits, "score": score, "similarity": similarity, "class_token": token, "text": text}
        expected = {"evidence": numbers(found), "presence": numbers(presence), "present": present}
        store.add("presence", name, {**given, "row": numbers(weights)}, expected)


def _screening(store: Store) -> None:
    features, text = smooth(80, 20)[:17, :16], smooth(81, 16)[:4]
    table = np.asarray([[6, 2, -1, 0.6], [6, 2, -1, 0.2], [-3, 4, 0.5, 0.5], [1, 1, 50, 0.5]], np.float32)
    half = table.copy()
    half[1] = np.nan
    for name, rows in (("calibrated", table), ("partly", half)):
        made = Screened.of(features, text, rows)
        expected = {
            "chances": numbers(made.chances),
            "ruled_out": made.ruled_out.tolist(),
            "order": made.likeliest_first(range(len(text))),
        }
        store.add("screening", name, {"clip_features": features, "features": text, "rows": numbers(rows)}, expected)


def _names(store: Store) -> None:
    pairs = {
        "case": ("Car", "cAR", True),
        "spaces": ("traffic  light", " traffic\tlight ", True),
        "sharp_s": ("Straße", "STRASSE", True),
        "accents": ("caf\u00e9", "CAFE\u0301", True),
        "accents_count": ("caf\u00e9", "cafe", False),
        "invisible": ("ro\u200bad", "road", True),
        "wide_space": ("traffic\u3000light", "traffic light", True),
        "greek": ("\u03a3\u03af\u03c3\u03c5\u03c6\u03bf\u03c2", "\u03c3\u03af\u03c3\u03c5\u03c6\u03bf\u03c3", True),
        "hangul": ("\ud55c\uae00", "\u1112\u1161\u11ab\u1100\u1173\u11af", True),
        "order_of_marks": ("q\u0323\u0307", "q\u0307\u0323", True),
        "other": ("car", "cart", False),
    }
    for name, (a, b, same) in pairs.items():
        store.add("names", name, {"a": a, "b": b}, {"same": same})
