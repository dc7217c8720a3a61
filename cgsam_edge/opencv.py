"""OpenCV, or an error that says what to do: its ordinary build needs window libraries that slim containers lack.

Say ``from cgsam_edge.opencv import cv2``.
"""

from __future__ import annotations

from cgsam_edge.errors import MissingLibraryError

try:
    import cv2
except ImportError as error:
    if error.name == "cv2" and isinstance(error, ModuleNotFoundError):
        raise MissingLibraryError(
            "OpenCV is not installed: pip install opencv-python, or on a machine without a screen "
            "opencv-python-headless."
        ) from error
    raise MissingLibraryError(
        f"OpenCV cannot be loaded: {error}. Its ordinary build needs libraries for windows that this system lacks. "
        "Take the build without windows: pip uninstall -y opencv-python && pip install opencv-python-headless. Or "
        "install the libraries: apt-get install libgl1 libglib2.0-0."
    ) from error

__all__ = ["cv2"]
