"""OpenCV, or an error with instructions: the standard build needs GUI libraries that slim containers lack.

Import it with ``from cgsam_edge.opencv import cv2``.
"""

from __future__ import annotations

from cgsam_edge.errors import MissingLibraryError

try:
    import cv2
except ImportError as error:
    if error.name == "cv2" and isinstance(error, ModuleNotFoundError):
        raise MissingLibraryError(
            "OpenCV is not installed: pip install opencv-python, or, on a machine without a display, "
            "opencv-python-headless."
        ) from error
    raise MissingLibraryError(
        f"OpenCV cannot be loaded: {error}. The standard build needs GUI libraries that this system lacks. Install the "
        "build without a GUI: pip uninstall -y opencv-python && pip install opencv-python-headless. Or "
        "install the libraries: apt-get install libgl1 libglib2.0-0."
    ) from error

__all__ = ["cv2"]
