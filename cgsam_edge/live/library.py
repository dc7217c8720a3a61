"""PyAV, FFmpeg's libraries for Python, or an error with instructions."""

from __future__ import annotations

from typing import Any

from cgsam_edge.errors import MissingLibraryError


def load_av(purpose: str) -> Any:
    """Import PyAV, silent: FFmpeg's messages name addresses with their passwords.

    Args:
        purpose: what needs it, for the message.

    Raises:
        MissingLibraryError: it is not installed, or cannot be loaded.
    """
    try:
        import av
        import av.logging
    except ImportError as error:
        raise MissingLibraryError(
            f"{purpose} needs PyAV, which is {'not installed' if error.name == 'av' else f'unusable here: {error}'}: "
            "pip install 'cgsam-edge[video]'"
        ) from error
    return av
