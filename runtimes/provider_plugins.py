"""Execution providers from separate packages for ONNX Runtime: finding, registering and asking them for hardware.

Such a provider is in no build of ONNX Runtime and never in ``get_available_providers()`` before it is registered.
"""

from __future__ import annotations

import importlib.util
import platform
from functools import lru_cache
from typing import Any

from cgsam_edge.runtimes import telemetry
from cgsam_edge.runtimes.installed import installed_version
from cgsam_edge.runtimes.protocol import Device
from cgsam_edge.runtimes.providers import PROVIDERS, Provider

_API = ("register_execution_provider_library", "get_ep_devices")
_RECORD = "get_provider_graph_assignment_info"
"""Without it nothing tells what a plugin took; in ONNX Runtime from 1.24."""

_SIMULATED = "QNN"
_CHIPS = "43 (Snapdragon 8 Gen 2), 57 (8 Gen 3), 69 (8 Elite), 87 (8 Elite Gen 5)"


def installed(provider: Provider) -> bool:
    """Whether the package that brings a provider as a plugin is there; imports nothing."""
    return bool(provider.module) and importlib.util.find_spec(provider.module) is not None


def versions() -> list[str]:
    """Return name and version of each package of plugins that is there; imports none."""
    packages = {one.package: one.module for one in PROVIDERS if installed(one)}
    return [f"{package} {installed_version(module, (package,))}" for package, module in packages.items()]


def device(provider: Provider) -> Device:
    """Return a plugin's provider as a device, with the reason where it cannot be used."""
    problem = _problem(provider)
    if problem:
        return Device(provider.device, provider.kind, missing=problem)
    maker = str(hardware(provider)[0].device.vendor).strip()
    if simulated(provider):
        text = f"{provider.name}, a simulator of the NPU: right numbers, minutes for an image; say which chip with soc"
        return Device(provider.device, provider.kind, text, simulated=True)
    return Device(provider.device, provider.kind, f"{provider.description}{f', on {maker}' if maker else ''}")


def simulated(provider: Provider) -> bool:
    """Whether a provider computes on this CPU what an NPU would."""
    return provider.device == _SIMULATED and platform.machine().lower() in ("x86_64", "amd64")


def missing_chip() -> str:
    """Say that a simulator needs a chip."""
    return f"QNN's simulator must know for which chip: give soc, a model number of Qualcomm, such as {_CHIPS}."


def hardware(provider: Provider) -> list[Any]:
    """Return what a registered plugin offers of the hardware that is meant, as ONNX Runtime's ``OrtEpDevice``."""
    offered = [one for one in _onnxruntime().get_ep_devices() if one.ep_name == provider.name]
    if simulated(provider):
        return offered
    return [one for one in offered if one.device.type.name == provider.hardware]


def _problem(provider: Provider) -> str:
    engine = _onnxruntime()
    if not all(hasattr(engine, name) for name in _API) or not hasattr(engine.InferenceSession, _RECORD):
        return f"{provider.package} needs onnxruntime 1.24 or newer, got {engine.__version__}"
    problem = _register(provider.module, provider.name)
    if problem:
        return f"{provider.package} cannot be used: {problem}"
    return "" if hardware(provider) else f"{provider.package} sees no {provider.hardware} here that it can use"


@lru_cache
def _register(module: str, name: str) -> str:
    """Register a plugin once in this process; return why that was not possible."""
    try:
        package = telemetry.load(module)
        _onnxruntime().register_execution_provider_library(name, str(package.get_library_path()))
    except Exception as error:  # of code that is not this project's
        return f"{type(error).__name__}: {error}"
    return ""


def _onnxruntime() -> Any:
    return telemetry.load("onnxruntime")
