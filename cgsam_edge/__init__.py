"""Segment images by concept on a device: offline, without PyTorch.

    import cgsam_edge

    with cgsam_edge.Segmenter("cars.cgsam") as segmenter:
        result = segmenter.segment("street.jpg", ["car", "road"])
        result["car"].mask  # bool, (height, width)

Names are imported on first use, so importing the package costs almost nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cgsam_edge._version import __version__

if TYPE_CHECKING:
    from cgsam_edge.bundle import Bundle
    from cgsam_edge.encoded import Encoded
    from cgsam_edge.errors import (
        BackendError,
        BundleError,
        CameraError,
        CgsamError,
        CheckpointError,
        ConceptsError,
        ExportError,
        GateError,
        ImageError,
        InputError,
        MissingLibraryError,
        OutputError,
        PromptError,
        UnknownConceptError,
    )
    from cgsam_edge.live.camera import Camera, CameraFrame
    from cgsam_edge.objects import ObjectMask
    from cgsam_edge.polygons import Polygon
    from cgsam_edge.results import ConceptResult, Result
    from cgsam_edge.runtimes.placement import Placement
    from cgsam_edge.segmenter import Segmenter
    from cgsam_edge.tracked import TrackedObject, Tracking
    from cgsam_edge.video import Frame, Video

_HOMES = {
    "Bundle": "bundle",
    "Camera": "live.camera",
    "CameraFrame": "live.camera",
    "ConceptResult": "results",
    "Encoded": "encoded",
    "Frame": "video",
    "ObjectMask": "objects",
    "Placement": "runtimes.placement",
    "Polygon": "polygons",
    "Result": "results",
    "Segmenter": "segmenter",
    "TrackedObject": "tracked",
    "Tracking": "tracked",
    "Video": "video",
}

__all__ = [
    "BackendError",
    "Bundle",
    "BundleError",
    "Camera",
    "CameraError",
    "CameraFrame",
    "CgsamError",
    "CheckpointError",
    "ConceptResult",
    "ConceptsError",
    "Encoded",
    "ExportError",
    "Frame",
    "GateError",
    "ImageError",
    "InputError",
    "MissingLibraryError",
    "ObjectMask",
    "OutputError",
    "Placement",
    "Polygon",
    "PromptError",
    "Result",
    "Segmenter",
    "TrackedObject",
    "Tracking",
    "UnknownConceptError",
    "Video",
    "__version__",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'cgsam_edge' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"cgsam_edge.{_HOMES.get(name, 'errors')}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
