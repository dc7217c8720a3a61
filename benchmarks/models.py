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
"""Made here, with weights that are pseudo-random: times are those of trained ones."""

NAMES = (*SEEDED, "scenes", "streets")


@dataclass(frozen=True)
class Amounts:
    """How much is measured where nothing else is said.

    Attributes:
        rounds: turns of each contender.
        runs: in a turn, after the first.
        calibration: pictures for INT8.
        compared: concepts whose masks are compared, at most.
    """

    rounds: int
    runs: int
    calibration: int
    compared: int


def amounts(name: str) -> Amounts:
    """Return what makes a measurement of about a quarter of an hour: less of the model whose runs take seconds."""
    return Amounts(3, 1, 32, 2) if name == "vit_b" else Amounts(5, 5, 32, 11)


def check(name: str) -> None:
    """Refuse what names neither a model nor a checkpoint.

    Raises:
        InputError: it does not.
    """
    if name not in NAMES and not Path(name).is_file():
        raise InputError(f"no model {name!r}; expected {', '.join(NAMES)}, or the file of a checkpoint.")


def checkpoint(name: str, folder: Path) -> Path:
    """Return a model's checkpoint; a seeded one is written into the folder if it is not there.

    Raises:
        InputError: ``name`` is no model and no file.
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
