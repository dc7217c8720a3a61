"""Cameras of this machine, through OpenCV: V4L2 on Linux, AVFoundation on a Mac, Media Foundation on Windows.

Never run so far: no machine with a camera was at hand. The checks before opening were run on Linux.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cgsam_edge.errors import CameraError
from cgsam_edge.native_calls import NATIVE_CALL, NativeObject
from cgsam_edge.opencv import cv2

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from cgsam_edge.live.address import Address

_SYSTEMS = {"linux": "CAP_V4L2", "darwin": "CAP_AVFOUNDATION", "win32": "CAP_MSMF"}


class DevicePicture:
    """A picture as OpenCV returns it.

    Args:
        bgr: uint8 BGR (H, W, 3).
    """

    def __init__(self, bgr: NDArray[np.uint8]) -> None:
        self._bgr = bgr

    def rgb(self) -> NDArray[np.uint8]:
        """Return uint8 RGB (H, W, 3)."""
        with NATIVE_CALL:
            pixels: NDArray[np.uint8] = cv2.cvtColor(self._bgr, cv2.COLOR_BGR2RGB)
        return pixels


def pictures(address: Address) -> Generator[DevicePicture, None, None]:
    """Open the camera, and yield its pictures.

    Raises:
        CameraError: it is not there, not accessible, or used by another program, or it yields no picture any more.
    """
    assert address.device is not None
    if sys.platform == "linux":
        _check_linux(address)
    with NATIVE_CALL:
        system = getattr(cv2, _SYSTEMS.get(sys.platform, "CAP_ANY"))
        capture = NativeObject(cv2.VideoCapture(address.device, system))
    try:
        if not capture.isOpened():
            raise CameraError(
                f"{address.shown}: cannot be opened: it is not there, another program uses it, or it is no camera."
            )
        capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        yield from _captured(capture)
    finally:
        capture.release()
    raise CameraError(f"{address.shown}: it yields no picture any more.")


def _captured(capture: Any) -> Iterator[DevicePicture]:
    while True:
        found, image = capture.read()
        if not found:
            return
        yield DevicePicture(image)


def _check_linux(address: Address) -> None:
    path = Path(f"/dev/video{address.device}" if isinstance(address.device, int) else str(address.device))
    if not path.exists():
        others = sorted(str(one) for one in Path("/dev").glob("video*"))
        there = f"this machine has {', '.join(others)}" if others else "this machine has no camera"
        at = "" if address.shown == str(path) else f" ({path})"
        raise CameraError(f"{address.shown}: no such camera{at}; {there}.")
    if not path.is_char_device():
        raise CameraError(f"{address.shown}: {path} is no device.")
    if not os.access(path, os.R_OK | os.W_OK):
        raise CameraError(f"{address.shown}: no permission to use {path}; add the user to the group 'video'.")
