"""Example inputs of every graph and the PyTorch model's outputs for them: an engine's outputs are compared with these.

``examples.npz`` holds a small picture, from which the pixels are made as for any image; the inputs that no earlier
graph produces; and the outputs, of which large ones are sampled. An earlier graph's outputs are not stored as inputs:
the engine's own outputs go into the next graph, so that errors add up as they do in use. `docs/bundle.md` describes the
file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from cgsam_edge.agreement import deviation, mask_iou
from cgsam_edge.errors import BackendError, BundleError
from cgsam_edge.image import to_pixels
from cgsam_edge.npz import read_npz
from cgsam_edge.prompts import priority

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Float = NDArray[np.float32]
    Tensors = Mapping[str, Float]
    Run = Callable[[str, dict[str, Float]], dict[str, Float]]

EXAMPLES_FILE = "examples.npz"

FULL_SIZE = 65_536
"""Tensors of up to this many values are stored whole: mask logits of a SAM at 1024 pixels just fit."""

SAMPLES = 16_384
"""Number of stored values of a larger tensor."""

LIMITS = {"float32": 1e-3, "fp16": 0.1, "float16": 0.1, "bfloat16": 0.3, "int8": 0.5, "int6": 0.5, "int4": 0.7}
"""Largest root-mean-square error that passes, in standard deviations, by stored and by computed precision.

The limits for quantised graphs only detect a broken engine: the export's gate has judged their masks.
"""

_OTHER_LIMIT = 0.1


@dataclass(frozen=True)
class ExampleAgreement:
    """Agreement of one graph's outputs with the stored ones, for the worst of its tensors.

    Attributes:
        graph: its name.
        rms_error: root mean square of the differences, in standard deviations of the expected values.
        max_error: the largest difference, likewise.
        finite: whether the outputs contain neither NaN nor infinity.
        mask_iou: IoU of the decoder's mask with the expected one; None for other graphs.
    """

    graph: str
    rms_error: float
    max_error: float
    finite: bool = True
    mask_iou: float | None = None


@dataclass(frozen=True, eq=False)
class Examples:
    """The content of ``examples.npz``.

    Attributes:
        picture: uint8 RGB (h, w, 3).
        inputs: by graph and tensor: inputs that no earlier graph produces, the picture's pixels excepted.
        outputs: by graph and tensor: values as `sample` returns them.
    """

    picture: NDArray[np.uint8]
    inputs: Mapping[str, Tensors]
    outputs: Mapping[str, Tensors]

    def feed(self, graph: str, names: Iterable[str], made: Tensors, image_size: int) -> dict[str, Float]:
        """Return the inputs of a graph.

        Args:
            graph: its name.
            names: names of its inputs.
            made: outputs of the earlier graphs.
            image_size: side in pixels that the picture is squashed to.

        Raises:
            BundleError: an input is neither stored nor produced.
        """
        stored = {**made, **self.inputs.get(graph, {})}
        if "pixels" in names:
            stored["pixels"] = to_pixels(Image.fromarray(self.picture), image_size)
        missing = [name for name in names if name not in stored]
        if missing:
            raise BundleError(f"{EXAMPLES_FILE}: no example of {', '.join(missing)}, which the graph {graph!r} takes.")
        return {name: stored[name] for name in names}

    def save(self, path: Path) -> None:
        """Write the archive."""
        arrays = {f"input.{g}.{name}": a for g, tensors in self.inputs.items() for name, a in tensors.items()}
        arrays |= {f"output.{g}.{name}": a for g, tensors in self.outputs.items() for name, a in tensors.items()}
        np.savez_compressed(path, picture=self.picture, **arrays)  # type: ignore[arg-type]

    @classmethod
    def load(cls, path: Path) -> Examples:
        """Read the archive.

        Raises:
            BundleError: it is not such an archive.
        """
        kinds: dict[str, dict[str, dict[str, Float]]] = {"input": {}, "output": {}}
        arrays = read_npz(path, "an archive of examples")
        try:
            for key in arrays:
                if key != "picture":
                    kind, graph, name = key.split(".", 2)
                    kinds[kind].setdefault(graph, {})[name] = arrays[key]
            return cls(_checked_picture(arrays["picture"]), kinds["input"], kinds["output"])
        except (ValueError, KeyError) as error:
            raise BundleError(f"{path}: not an archive of examples ({error}).") from error


def _checked_picture(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3:  # height, width, RGB
        raise ValueError(f"the picture must be uint8 (h, w, 3), got {picture.dtype} {picture.shape}")
    return picture


def sample(tensor: Float) -> Float:
    """Return the stored part of an output: all of it, flat, or `SAMPLES` values at fixed pseudo-random places.

    The k-th place is SplitMix64's k-th output modulo the tensor's size, rows first.
    """
    flat = np.asarray(tensor, dtype=np.float32).ravel()
    if flat.size <= FULL_SIZE:
        return flat
    places = priority(np.arange(SAMPLES, dtype=np.uint64)) % np.uint64(flat.size)
    sampled: Float = flat[places.astype(np.int64)]
    return sampled


def compare(graph: str, expected: Tensors, got: Tensors) -> ExampleAgreement:
    """Compare a graph's outputs with the stored ones.

    Raises:
        BackendError: an output is missing, or has another size.
    """
    for name, values in expected.items():
        if name not in got:
            raise BackendError(f"the graph {graph!r} gave no {name!r}; it gave {', '.join(got) or 'nothing'}.")
        if sample(got[name]).size != values.size:
            raise BackendError(
                f"the graph {graph!r} gave {name!r} of shape {got[name].shape}, a size for which {EXAMPLES_FILE} would "
                f"hold {sample(got[name]).size} values; it holds {values.size}."
            )
    errors = [deviation(values.ravel(), sample(got[name])) for name, values in expected.items()]
    finite = all(np.isfinite(got[name]).all() for name in expected)
    logits = expected.get("mask_logits")
    iou = None if logits is None else mask_iou(logits.ravel() > 0, sample(got["mask_logits"]) > 0)
    return ExampleAgreement(graph, max(e.rms for e in errors), max(e.max for e in errors), finite, iou)


def replay(
    examples: Examples, inputs: Mapping[str, Iterable[str]], image_size: int, run: Run
) -> dict[str, ExampleAgreement]:
    """Run the graphs one after the other on the examples, and compare each.

    Args:
        examples: of the bundle.
        inputs: names of the inputs by graph, in the order in which the graphs run.
        image_size: side in pixels that the picture is squashed to.
        run: function that runs a graph.

    Raises:
        BackendError: the engine failed.
    """
    made: dict[str, Float] = {}
    found = {}
    for graph in inputs:
        out = run(graph, examples.feed(graph, tuple(inputs[graph]), made, image_size))
        found[graph] = compare(graph, examples.outputs[graph], out)
        made.update(out)
    return found


def limit(stored: str, computed: str) -> float:
    """Return the largest root-mean-square error that passes.

    Args:
        stored: precision of the weights: "fp32", "fp16", "int8", "int6" or "int4".
        computed: precision of the arithmetic, as in `SessionFacts.precision`.
    """
    of_weights = LIMITS.get(stored, 0.0)
    return max(of_weights, LIMITS.get(computed, _OTHER_LIMIT))
