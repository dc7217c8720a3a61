"""Which of an engine's devices a caller means, and why a device is not available."""

from __future__ import annotations

from cgsam_edge.runtimes.protocol import Device

AUTO = "auto"
_ENGINES_OWN = "AUTO"


def allowed(devices: tuple[Device, ...], wanted: str) -> list[Device]:
    """Return the devices that a request allows, by name or by kind; "AUTO" is a device of OpenVINO, "auto" is not."""
    if wanted.lower() == AUTO and wanted != _ENGINES_OWN:
        return [device for device in devices if device.automatic]
    return [device for device in devices if device.answers_to(wanted) and not device.missing]


def refusal(backend: str, devices: tuple[Device, ...], wanted: str) -> str:
    """Return why a requested device is not available."""
    known = [device for device in devices if device.answers_to(wanted)]
    if known:
        return "; ".join(f"{backend} cannot use {device.name}: {device.missing}" for device in known)
    listed = ", ".join(device.name for device in devices if not device.missing)
    return f"{backend} has no device {wanted!r}; here it has {listed}"
