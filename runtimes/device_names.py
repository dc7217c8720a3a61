"""Names that devices have on any machine: a name outside this list is a slip, not a device that is missing here."""

from __future__ import annotations

from cgsam_edge.runtimes import coreml, openvino, providers, survey
from cgsam_edge.runtimes.devices import AUTO

KINDS = ("cpu", "gpu", "npu", "any")
"""See `Device.kind`."""

_BUILT_IN = tuple(dict.fromkeys((*(one.device for one in providers.PROVIDERS), *openvino.NAMES, *coreml.NAMES)))
_KNOWN = {name.lower() for name in (AUTO, *KINDS, *_BUILT_IN)}


def expected(wanted: str) -> tuple[str, ...]:
    """Return the names that there are if a device can have none like ``wanted``; empty if it can.

    Engines are asked only about a name that no built-in one uses; an engine of another package may use it.
    """
    if wanted.lower() in _KNOWN or wanted.partition(".")[0].upper() in openvino.NAMES:  # GPU.1 is the second one
        return ()
    here = [device for engine in survey.engines() for device in engine.devices]
    if any(device.answers_to(wanted) for device in here):
        return ()
    return tuple(dict.fromkeys((*_BUILT_IN, *(device.name for device in here))))
