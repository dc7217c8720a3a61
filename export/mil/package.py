"""Loading a written ``.mlpackage`` back as a MIL program, weights included."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cgsam_edge.errors import BackendError
from cgsam_edge.export.mil.tools import coremltools, quiet
from cgsam_edge.runtimes import telemetry

DATA = Path("Data") / "com.apple.CoreML"
"""Paths of a package's model and weights."""


def read_spec(path: Path) -> Any:
    """Return a package's model without its weights; coremltools' own reader would write to the package."""
    spec = coremltools().proto.Model_pb2.Model()
    spec.ParseFromString((path / DATA / "model.mlmodel").read_bytes())
    return spec


def load_function(path: Path) -> Any:
    """Return the main function of an ML program, with constants read from its weight file.

    Raises:
        BackendError: coremltools is not installed, or the package cannot be read or is no ML program.
    """
    coremltools()
    load = telemetry.load("coremltools.converters.mil.frontend.milproto.load").load

    try:
        with quiet():
            spec = read_spec(path)
            program = load(spec, spec.specificationVersion, str(path / DATA / "weights"))
            return program.functions[program.default_function_name]
    except Exception as error:  # coremltools raises many kinds of errors
        raise BackendError(f"{path}: not a readable ML program: {error}. Export it again.") from error
