"""How vectors are stored: JSON for what is small, one raw little-endian file a tensor for the rest."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tests.source import ROOT

FOLDER = ROOT / "docs" / "vectors"
INDEX = "vectors.json"
FORMAT, VERSION = "cgsam-vectors", 1

TYPES = {"uint8": "u1", "float32": "<f4"}

TOLERANCES: dict[str, dict[str, float]] = {
    "map": {"absolute": 2e-6},
    "slot_points": {"absolute": 1e-4},
    "evidence": {"absolute": 2e-5},
    "presence": {"absolute": 2e-5},
    "score": {"absolute": 1e-3},
    "chances": {"absolute": 2e-5},
    "similarity": {"rms": 1e-4},
    "logits": {"rms": 1e-3},
    "bundle.evidence": {"absolute": 2e-3},
    "bundle.presence": {"absolute": 2e-3},
    "bundle.mask": {"iou": 1e-3},
}
"""By key of what is expected, or by stage and key, which goes before; what is not here must be exactly equal."""


@dataclass
class Store:
    """Vectors on their way to the folder.

    Attributes:
        vectors: the entries so far.
        files: the tensors' bytes by path.
    """

    vectors: list[dict[str, Any]] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)

    def add(self, stage: str, name: str, given: dict[str, Any], expected: dict[str, Any]) -> None:
        """Add a vector; arrays among the values go into files."""
        where = f"{stage}-{name}"
        held = {key: self._stored(f"{where}.{key}", value) for key, value in given.items()}
        wanted = {key: self._stored(f"{where}.{key}", value) for key, value in expected.items()}
        self.vectors.append({"stage": stage, "name": name, "given": held, "expected": wanted})

    def _stored(self, name: str, value: Any) -> Any:
        if not isinstance(value, np.ndarray):
            return value
        content = np.ascontiguousarray(value).astype(TYPES[str(value.dtype)]).tobytes()
        same = [path for path, bytes_ in self.files.items() if bytes_ == content]
        path = same[0] if same else f"data/{name}.bin"
        self.files[path] = content
        return {"file": path, "dtype": str(value.dtype), "shape": list(value.shape)}

    def write(self, folder: Path, more: dict[str, Any]) -> None:
        """Write index and tensors, and remove tensors that no vector names any more."""
        (folder / "data").mkdir(parents=True, exist_ok=True)
        for path in (folder / "data").iterdir():
            if f"data/{path.name}" not in self.files:
                path.unlink()
        for name, content in self.files.items():
            (folder / name).write_bytes(content)
        (folder / INDEX).write_text(self.index(more), encoding="utf-8")

    def index(self, more: dict[str, Any]) -> str:
        """Return the text of the index, a vector a line."""
        head = {"format": FORMAT, "version": VERSION, **more, "tolerances": TOLERANCES}
        lines = ",\n".join(f"  {json.dumps(vector, allow_nan=False)}" for vector in self.vectors)
        return f'{json.dumps(head, indent=1)[:-2]},\n "vectors": [\n{lines}\n ]\n}}\n'


def read_index(folder: Path = FOLDER) -> dict[str, Any]:
    """Return the index of the committed vectors."""
    index: dict[str, Any] = json.loads((folder / INDEX).read_text(encoding="utf-8"))
    return index


def read(value: Any, folder: Path = FOLDER) -> Any:
    """Return a stored value: an array where it names a file, else itself."""
    if not (isinstance(value, dict) and "file" in value):
        return value
    content = (folder / value["file"]).read_bytes()
    return np.frombuffer(content, TYPES[value["dtype"]]).reshape(value["shape"])


def numbers(values: Any) -> Any:
    """Return numbers for JSON: floats as short as float32 allows, None for NaN."""
    if isinstance(values, np.ndarray):
        return [numbers(value) for value in values]
    value = float(values)
    return None if math.isnan(value) else float(f"{value:.9g}")


def problem(stage: str, key: str, expected: Any, got: Any) -> str | None:
    """Return what is wrong with a value of a stage, or None where it is within its tolerance."""
    a, b = _flat(expected), _flat(got)
    if a.shape != b.shape:
        return f"{key}: expected {a.size} values, got {b.size}"
    allowed = TOLERANCES.get(f"{stage}.{key}") or TOLERANCES.get(key) or {"absolute": 0.0}
    kind, limit = next(iter(allowed.items()))
    off = _distance(kind, a, b)
    return None if off <= limit else f"{key}: off by {off:g} ({kind}), {limit:g} allowed"


def _flat(value: Any) -> Any:
    if isinstance(value, (str, bool)) or value is None:
        return np.asarray([value], object)
    array = np.asarray(value)
    if array.dtype == object or array.dtype.kind in "US":  # names, or null among numbers
        return np.asarray(value, object).ravel()
    return array.astype(np.float64).ravel()


def _distance(kind: str, a: Any, b: Any) -> float:
    if object in (a.dtype, b.dtype):
        pairs = zip(a.tolist(), b.tolist(), strict=True)
        return max((_apart(x, y) for x, y in pairs), default=0.0)
    if kind == "iou":
        union = np.count_nonzero((a > 0) | (b > 0))
        return 1 - (np.count_nonzero((a > 0) & (b > 0)) / union if union else 1.0)
    apart = np.abs(a - b)
    if not apart.size:
        return 0.0
    if kind == "rms":
        return float(np.sqrt((apart**2).mean()) / (a.std() or 1.0))
    return float(apart.max())


def _apart(x: Any, y: Any) -> float:
    if isinstance(x, float) and isinstance(y, float):
        return abs(x - y)
    return 0.0 if x == y else math.inf
