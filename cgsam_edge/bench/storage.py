"""A measurement as a JSON file."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from cgsam_edge._schema import decode
from cgsam_edge.bench.measurement import FORMAT, Measurement
from cgsam_edge.errors import BundleError, InputError
from cgsam_edge.files import write_beside


def save(measurement: Measurement, path: Path) -> None:
    """Write the measurement as JSON.

    Raises:
        OutputError: it cannot be written.
    """
    text = json.dumps(asdict(measurement), indent=1, ensure_ascii=False) + "\n"
    write_beside(path, lambda beside: beside.write_text(text, encoding="utf-8"))


def load(path: Path) -> Measurement:
    """Read a measurement.

    Raises:
        InputError: there is no such file, or ``cgsam bench --json`` did not write it.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file.") from error
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not a file that cgsam bench --json wrote ({error}).") from error
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        raise InputError(f"{path}: not a file that cgsam bench --json wrote: expected the format {FORMAT!r}.")
    try:
        return decode(Measurement, value, str(path))
    except BundleError as error:
        raise InputError(f"{error} Another version of cgsam bench wrote it, or it was altered.") from error
