"""The models to measure: checkpoints by name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cgsam_edge import shipped
from cgsam_edge.errors import InputError
from cgsam_edge.files import write_beside

ROOT = Path(__file__).parents[1]
STREETS = ROOT / "training" / "checkpoints" / "streets.safetensors"
SEEDED = {"vit_b": "the real size, 1.2 GB", "small": "real geometry, four narrow blocks"}
"""Models with pseudo-random weights, made here; they take as long as trained ones."""

NAMES = (*SEEDED, "scenes", "streets")


@dataclass(frozen=True)
class Amounts:
    """Default amounts of a measurement.

    Attributes:
        rounds: turns of each contender.
        runs: in a turn, after the first.
        calibration: pictures for INT8.
        compared: largest number of concepts whose masks are compared; a bundle with seeded weights has no more.
        gate: pictures of the gate.
    """

    rounds: int
    runs: int
    calibration: int
    compared: int
    gate: int


def amounts(name: str) -> Amounts:
    """Return amounts for a measurement of about a quarter of an hour: smaller for the model whose runs take seconds."""
    return Amounts(3, 1, 8, 2, 4) if name == "vit_b" else Amounts(5, 5, 32, 11, 8)


def check(name: str) -> None:
    """Check that a name is that of a model or of a checkpoint.

    Raises:
        InputError: it does not.
    """
    if name not in NAMES and not Path(name).is_file():
        raise InputError(f"no model {name!r}; expected {', '.join(NAMES)}, or the file of a checkpoint.")


def checkpoint(name: str, folder: Path) -> Path:
    """Return a model's checkpoint; a seeded one is written into the folder if it is missing.

    Raises:
        InputError: ``name`` is neither a model nor a file.
        OutputError: the folder cannot be written.
    """
    check(name)
    if name == "scenes":
        return shipped.CHECKPOINT
    if name == "streets":
        return STREETS
    if name not in SEEDED:
        return Path(name)
    path = folder / f"{name}.pth"
    if not path.exists():
        _seed(name, path)
    return path


def _seed(name: str, path: Path) -> None:
    import torch

    from tests.golden import make_checkpoint

    made = make_checkpoint.make(name)
    write_beside(path, lambda beside: torch.save(made, beside))
