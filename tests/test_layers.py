"""Who may import whom, read from the source: directly, and through others."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import pytest

from tests.source import FOR_TYPES, ON_LOADING, ON_USE, Module, closure, cycles, modules, way

ABOVE = {
    "contract": set(),
    "runtimes": {"contract"},
    "segmenter": {"contract", "runtimes"},
    "tiling": {"contract", "segmenter"},
    "page": {"contract"},
    "live": {"contract"},
    "datasets": {"contract"},
    "quality": {"contract", "runtimes", "segmenter", "tiling", "page"},
    "bench": {"contract", "runtimes", "segmenter", "page"},
    "serve": {"contract", "runtimes", "segmenter", "page", "datasets"},
    "bulk": {"contract", "runtimes", "segmenter", "tiling", "page", "datasets"},
    "cli": {
        *("contract", "runtimes", "segmenter", "tiling", "page", "datasets", "quality", "bench", "live", "serve"),
        "bulk",
    },
    "calibration": {"contract", "runtimes", "segmenter", "quality"},
    "export": {"contract", "runtimes", "segmenter", "quality", "page"},
}
"""The rooms that each room may import, itself left out.

Of the modules that lie in `cgsam_edge` itself, those that know `runtimes` are "segmenter", and all others "contract".
"""

CALIBRATED = ("cgsam_edge.export.graphs", "cgsam_edge.export.mil", "cgsam_edge.export.targets")
"""What the room `calibration` may import of `export`: the graphs that it measures and rewrites."""

RECIPE = {
    f"cgsam_edge.export.{name}" for name in ("pipeline", "export_steps", "fallback", "quality_report", "layer_table")
}
"""The modules of `export` that may import `calibration`: those that put an export together."""

TORCH_ROOMS = ("export", "calibration")
EXPORT_COMMAND = "cgsam_edge.cli.export"
"""The one module of a device that knows of the export, and imports it where its command runs."""

HEAVY = {
    *("torch", "torchvision", "onnx", "onnxscript", "open_clip", "segment_anything", "safetensors"),
    *("openvino", "coremltools", "nncf", "onnxruntime"),
}
ENGINES = {
    "cgsam_edge.runtimes.onnxruntime": "onnxruntime",
    "cgsam_edge.runtimes.nodes": "onnxruntime",
    "cgsam_edge.runtimes.provider_plugins": "onnxruntime",
    "cgsam_edge.runtimes.openvino": "openvino",
    "cgsam_edge.runtimes.coreml": "coremltools",
    "cgsam_edge.split_onnx": "onnx",
    "cgsam_edge.split_openvino": "openvino",
}
"""The modules that may import an engine, or the library of a format, on use."""

OF_ONE_TARGET = {"openvino", "coremltools", "nncf"}
"""Libraries that an export for another target does not need: imported on use alone."""

QUANTISERS = {
    "onnxruntime": {"onnx", "onnxruntime"},
    "openvino": {"openvino", "nncf"},
    "coreml": {"coremltools"},
}
"""What each quantiser may import beside PyTorch."""


def room(name: str) -> str:
    """Return the room of a module."""
    _, _, inner = name.partition(".")
    first, _, _ = inner.partition(".")
    if first in ABOVE:
        return first
    return "segmenter" if name in _built_on_runtimes() else "contract"


@cache
def _built_on_runtimes() -> set[str]:
    """Return the modules in `cgsam_edge` itself that import `runtimes`, or what does, be it for types."""
    beside = {name: module for name, module in modules().items() if name.count(".") == 1}
    imported = {name: module.imported(ON_LOADING, ON_USE, FOR_TYPES) for name, module in beside.items()}
    found: set[str] = set()
    grown = True
    while grown:
        more = {
            n for n, names in imported.items() if any(o.startswith("cgsam_edge.runtimes") or o in found for o in names)
        }
        grown, found = not more <= found, more
    return found


def of_a_device() -> Iterator[Module]:
    return (module for module in modules().values() if room(module.name) not in TORCH_ROOMS)


@pytest.mark.parametrize("importer", list(ABOVE))
def test_rooms_import_what_is_below_them(importer: str) -> None:
    """Direct imports, those on use and for types too; all rooms together leave no way back up."""
    seen = [module for module in modules().values() if room(module.name) == importer]
    assert seen
    for module in seen:
        for one in module.imports:
            if one.name not in modules() or one.name == "cgsam_edge" or module.name == "cgsam_edge":
                continue  # the package itself, which imports on use what it names
            allowed = room(one.name) in {importer, *ABOVE[importer]} or _exception(module.name, one.name, one.when)
            assert allowed, f"{module.file}:{one.line} imports {one.name}: {importer} is not above {room(one.name)}"


def _exception(importer: str, imported: str, when: str) -> bool:
    if importer == EXPORT_COMMAND:
        return room(imported) == "export" and when == ON_USE
    if importer == "cgsam_edge.segmenter":  # what few pictures need
        return room(imported) == "tiling" and when == ON_USE
    if importer == "cgsam_edge.pipeline":  # what streams alone need
        return imported == "cgsam_edge.live.follower" and when == ON_USE
    if room(importer) == "calibration":
        return imported.startswith(CALIBRATED)
    return importer in RECIPE and room(imported) == "calibration"


def test_the_package_names_its_modules_and_loads_none() -> None:
    assert modules()["cgsam_edge"].imported(ON_LOADING) <= {"__future__", "typing", "cgsam_edge._version"}


def test_nothing_of_a_device_reaches_torch() -> None:
    """Whatever is imported, on loading or on use, by whatever is imported; the export's own command stops there."""

    def follow(module: Module) -> set[str]:
        found = module.imported(ON_LOADING, ON_USE)
        return {name for name in found if module.name != EXPORT_COMMAND or room(name) not in TORCH_ROOMS}

    for module in of_a_device():
        reached = closure(module.name, follow)
        for name in reached:
            assert room(name) not in TORCH_ROOMS, f"{way(reached, name)} is of the export"
            heavy = modules()[name].imported(ON_LOADING, ON_USE) & HEAVY - {ENGINES.get(name, "")}
            assert not heavy, f"{way(reached, name)} imports {', '.join(heavy)}"


def test_engines_are_imported_on_use() -> None:
    for module in of_a_device():
        heavy = module.imported(ON_LOADING) & HEAVY
        assert not heavy, f"{module.file} imports {', '.join(heavy)} as it is loaded"
    for name, engine in ENGINES.items():
        assert engine in modules()[name].imported(ON_USE), f"{name} does not import {engine} any more"


def test_libraries_of_one_target_are_imported_on_use() -> None:
    for module in modules().values():
        found = module.imported(ON_LOADING) & OF_ONE_TARGET
        assert not found, f"{module.file} imports {', '.join(found)} as it is loaded"


@pytest.mark.parametrize("target", list(QUANTISERS))
def test_a_quantiser_has_its_own_library(target: str) -> None:
    found = modules()[f"cgsam_edge.calibration.quantise.{target}"].imported(ON_LOADING, ON_USE) & HEAVY
    assert found <= QUANTISERS[target] | {"torch"}


def test_no_module_needs_itself_to_be_loaded() -> None:
    edges = {
        module.name: {name for name in module.imported(ON_LOADING) if name in modules() and name != module.name}
        for module in modules().values()
    }
    assert [sorted(found) for found in cycles(edges)] == []


def test_the_reader_of_imports() -> None:
    """What the tests above stand on: one module with each kind of import."""
    segmenter = modules()["cgsam_edge.segmenter"]
    assert "cgsam_edge.bundle" in segmenter.imported(ON_LOADING)
    assert "cgsam_edge.runtimes.protocol" in segmenter.imported(FOR_TYPES)
    assert "onnxruntime" in modules()["cgsam_edge.runtimes.onnxruntime"].imported(ON_USE)
    assert cycles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}, "e": set()}) == [{"a", "b", "c"}]
    assert cycles({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []
    assert room("cgsam_edge.cli") == "cli"
    assert room("cgsam_edge.quality.scenes.render") == "quality"
    assert (room("cgsam_edge.encoded"), room("cgsam_edge.image"), room("cgsam_edge")) == (
        *("segmenter", "contract"),
        "contract",
    )
