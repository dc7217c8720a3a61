"""The seeded model of the vectors: the tiny layout, with weights drawn as those of the golden tests are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from cgsam_edge.bundle import Bundle
from cgsam_edge.export.config import PromptConfig
from cgsam_edge.export.options import ExportOptions
from cgsam_edge.export.pipeline import export_bundle
from cgsam_edge.export.reference import ReferenceModel
from cgsam_edge.revise import with_vocabulary
from tests import tiny
from tests.golden import make_checkpoint

SIDE, SEED = 256, 4
PROMPT = PromptConfig(trained_for=("text", "clicks"))
CONCEPTS = "car | automobile\nroad\ntree | shrub\nStraße | sea side\n"

PRESENCE = np.asarray(
    [[2.0, 1.5, -1.0, 0.5, 3.0, -2.0, 1.0, -1.25, 0.5], [-1.0, 2.0, 4.0, -3.0, 0.25, 1.0, -2.0, 0.5, 0.75]], np.float32
)
"""Of the first two concepts: any numbers that let one count as present and the other not."""


def checkpoint(path: Path) -> Path:
    """Write the checkpoint; its numbers depend on nothing but the keys' names."""
    config = tiny.config("psst", side=SIDE, prompt=PROMPT)
    sam, clip = (_drawn(part) for part in tiny.upstream_parts(ReferenceModel(config).eval()))
    for key in [key for key in clip if key.startswith("visual.attn.")]:
        clip[key] = clip[key.replace("visual.attn.", "visual.transformer.resblocks.1.attn.")]
    return tiny.write(path, sam, clip)


def _drawn(part: dict[str, Any]) -> dict[str, Any]:
    made = {}
    for key, tensor in part.items():
        weights = make_checkpoint.draw(key, tuple(tensor.shape), SEED)
        made[key] = torch.from_numpy(np.ascontiguousarray(weights)).reshape(tuple(tensor.shape))
    return made


def export(
    output: Path, targets: tuple[str, ...] = ("onnxruntime",), progress: Callable[[str], None] = lambda _: None
) -> Path:
    """Export the model, with presence calibrated for the first two concepts and screening for some."""
    with TemporaryDirectory() as work:
        concepts = Path(work) / "concepts.txt"
        concepts.write_text(CONCEPTS, encoding="utf-8")
        options = ExportOptions(
            checkpoint(Path(work) / "vectors.pth"),
            concepts,
            output,
            targets=targets,
            precision="fp32" if targets == ("onnxruntime",) else None,
            clip_heads=(1, 1),
            clip_activation="quickgelu",
            prompt=PROMPT,
        )
        export_bundle(options, progress=progress)
    bundle = Bundle(output)
    return with_vocabulary(bundle, replace(bundle.vocabulary, **_tables(bundle)))


def _tables(bundle: Bundle) -> dict[str, Any]:
    presence, screening = bundle.vocabulary.presence.copy(), bundle.vocabulary.screening.copy()
    presence[: len(PRESENCE)] = PRESENCE
    screening[0] = (1.0, 1.0, 4.0, 0.25)  # never ruled out
    screening[2] = (1.0, 1.0, -9.0, 0.25)  # always ruled out
    return {"presence": presence, "screening": screening}
