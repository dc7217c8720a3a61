"""Compiling a bundle's graphs ahead of time for named NPUs, so that a device opens them without compiling."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from cgsam_edge.bundle import Bundle, file_spec
from cgsam_edge.errors import BackendError, InputError
from cgsam_edge.manifest import FILE_NAME, TEXT_GRAPHS, FileSpec
from cgsam_edge.revise import carry_files
from cgsam_edge.runtimes import contexts
from cgsam_edge.runtimes.onnxruntime import OnnxRuntimeBackend, compile_context
from cgsam_edge.runtimes.protocol import check_soc
from cgsam_edge.staging import check_destination, staged

TARGET = "onnxruntime"


def compile_bundle(
    bundle: str | Path,
    chips: Sequence[int],
    output: str | Path,
    progress: Callable[[str], None] = lambda _: None,
) -> Path:
    """Write a bundle that also holds its graphs compiled for chips of Qualcomm.

    Args:
        bundle: the bundle to start from; it must hold graphs for ONNX Runtime.
        chips: Qualcomm's model numbers, such as 57 for the Snapdragon 8 Gen 3.
        output: the bundle to write.
        progress: takes a line for each graph.

    Returns:
        The path of the bundle that was written.

    Raises:
        InputError: no chip, or no model number.
        BundleError: the bundle is damaged or holds no graphs for ONNX Runtime.
        BackendError: onnxruntime-qnn is not installed, cannot compile a graph, or leaves a part of it to the CPU.
        OutputError: the bundle cannot be written.
    """
    wanted = list(dict.fromkeys(chips))
    if not wanted:
        raise InputError("name a chip, by Qualcomm's model number, such as 57.")
    for chip in wanted:
        check_soc(chip)
    opened, destination = Bundle(bundle), Path(output)
    check_destination(destination)
    opened.verify()
    graphs = {name: graph.path for name, graph in opened.graphs(TARGET).items() if name not in TEXT_GRAPHS}
    _check_engine()
    with staged(destination) as folder:
        carry_files(
            opened, folder, {contexts.beside(Path(path), one).as_posix() for path in graphs.values() for one in wanted}
        )
        added = dict(_compiled(folder, name, path, chip, progress) for chip in wanted for name, path in graphs.items())
        held = {*opened.manifest.created.get("compiled", {}).get("qnn", []), *wanted}
        notes = {"compiled": {"qnn": sorted(held), "by": OnnxRuntimeBackend().version()}}
        manifest = replace(
            opened.manifest,
            files={**opened.manifest.files, **added},
            created={**opened.manifest.created, **notes},
        )
        (folder / FILE_NAME).write_text(manifest.to_json(), encoding="utf-8")
    return destination


def _check_engine() -> None:
    devices = OnnxRuntimeBackend().devices()
    found = next(device for device in devices if device.name == contexts.DEVICE)
    if found.missing:
        raise BackendError(f"graphs cannot be compiled for Qualcomm's NPU here: {found.missing}.")


def _compiled(folder: Path, graph: str, path: str, chip: int, progress: Callable[[str], None]) -> tuple[str, FileSpec]:
    """Compile one graph, and return the new file's name and description."""
    made = contexts.beside(folder / path, chip)
    compile_context(folder / path, made, chip)
    spec = file_spec(made)
    progress(f"{graph} for chip {chip}: {spec.size / 1e6:.1f} MB")
    return made.relative_to(folder).as_posix(), spec
