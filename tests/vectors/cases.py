"""Vectors of whole bundles: from a picture to masks, as the Python runtime computes them with ONNX Runtime."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from cgsam_edge import Segmenter
from cgsam_edge.prompts import Clicks, decoder_prompt
from tests.vectors.values import Store, numbers

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cgsam_edge.encoded import Encoded
    from cgsam_edge.results import ConceptResult

MARGIN = 1e-5
"""By which the threshold may move without a change of any prompt, lest an engine's rounding changes one."""

SEED = 1  # the first whose prompts are all steady
PICTURES = {"wide": (150, 100), "tall": (90, 132)}
PROMPTS: dict[str, dict[str, Any]] = {
    "text": {},
    "clicks": {"points": [[30.5, 40.25], [70, 80]], "labels": [1, 0]},
    "box": {"box": [12.5, 20, 80, 95]},
    "clicks_and_box": {"points": [[45, 50]], "labels": [1], "box": [10, 15, 85, 90]},
}


def draw(name: str) -> NDArray[np.uint8]:
    """Draw a picture of waves and boxes in integers alone, which any machine draws alike: uint8 (H, W, 3)."""
    width, height = PICTURES[name]
    rng = np.random.Generator(np.random.PCG64([SEED, width]))
    y, x = np.mgrid[0:height, 0:width]
    picture = np.stack([(x * 3 + y) % 256, (x * y // 7) % 256, (y * 2) % 256], axis=-1).astype(np.uint8)
    for _ in range(9):
        left, top = rng.integers(0, width), rng.integers(0, height)
        wide, high = rng.integers(8, 50, size=2)
        picture[top : top + high, left : left + wide] = rng.integers(0, 256, size=3)
    return picture


def add_all(store: Store, folder: Path, bundle: Path) -> None:
    """Draw the pictures into a folder, and add the masks of a bundle."""
    with Segmenter(bundle, backend="onnxruntime", device="cpu", precision="float32") as segmenter:
        for name in PICTURES:
            picture = draw(name)
            Image.fromarray(picture).save(folder / f"{name}.png")
            encoded = segmenter.encode(picture)
            for concept in segmenter.concepts:
                for prompt in PROMPTS if concept == "car" else ("text",):
                    _add_mask(store, encoded, name, concept, prompt)
        _add_segments(store, segmenter)


def _add_mask(store: Store, encoded: Encoded, picture: str, concept: str, prompt: str) -> None:
    result = encoded.predict(concept, **PROMPTS[prompt])
    _check_margin(result, encoded)
    given = {"picture": f"{picture}.png", "image": np.asarray(encoded.image), "concept": concept, **PROMPTS[prompt]}
    store.add(
        "bundle",
        f"{picture}-{concept.replace('ß', 'ss')}-{prompt}",
        given,
        expected(encoded, result, clicked=prompt != "text"),
    )


def expected(encoded: Encoded, result: ConceptResult, *, clicked: bool) -> dict[str, Any]:
    """Return everything on the way to a result; ``clicked``: its prompt was the caller's."""
    model = encoded._model
    clicks = Clicks(result.points, result.labels, result.box) if clicked else None
    prompt = decoder_prompt(result.similarity, result.image_size, model.geometry, model.prompting, clicks)
    return {
        "similarity": result.similarity,
        "slot_points": numbers(prompt.points[0]),
        "slot_labels": prompt.labels[0].astype(int).tolist(),
        "dense": prompt.dense[0, 0],
        "logits": result.logits,
        "score": numbers(result.score),
        "evidence": numbers(result.evidence),
        "presence": numbers(result.presence),
        "present": result.present,
        "mask": result.mask.astype(np.uint8),
    }


def _check_margin(result: ConceptResult, encoded: Encoded) -> None:
    """Stop where a little more or less similarity would change the prompt, or a mask is too small to judge by."""
    model, size = encoded._model, encoded.image.size
    prompts = [
        decoder_prompt(
            result.similarity, size, model.geometry, replace(model.prompting, threshold=model.prompting.threshold + by)
        )
        for by in (-MARGIN, MARGIN)
    ]
    steady = all(np.array_equal(getattr(prompts[0], key), getattr(prompts[1], key)) for key in ("points", "dense"))
    if not steady or not 0.05 < float(result.mask.mean()) < 0.95:
        raise SystemExit(f"{result.name}: too near the threshold, or a mask of {result.mask.mean():.2f}: draw anew.")


SEGMENTS: dict[str, dict[str, Any]] = {
    "all": {},
    "all_computed": {"skip_absent": False},
    "two": {"max_concepts": 2},
    "asked": {"concepts": ["SHRUB", "strasse", "automobile"]},
}


def _add_segments(store: Store, segmenter: Segmenter) -> None:
    for name, options in SEGMENTS.items():
        store.add(
            "segment", name, {"picture": "wide.png", "image": draw("wide"), **options}, segmented(segmenter, options)
        )


def segmented(segmenter: Segmenter, options: dict[str, Any]) -> dict[str, Any]:
    """Return what `segment` says about the concepts of a picture."""
    result = segmenter.segment(draw("wide"), **options)
    return {
        "concepts": list(result),
        "skipped": [one.skipped for one in result.values()],
        "present": [one.present for one in result.values()],
        "chances": [numbers(one.presence) for one in result.values() if one.skipped],
        "left_out": sorted(result.left_out),
    }
