"""Streams of cameras in the network, through PyAV: it bounds each wait and states why a server refused.

OpenCV's FFmpeg reports every failure as "not opened", and prints addresses with their passwords.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from cgsam_edge.errors import CameraError
from cgsam_edge.live.library import load_av

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from cgsam_edge.live.address import Address

_PROTOCOLS = {"rtsp": "rtp,rtsp,rtsps,srtp,udp,tcp,tls,crypto", "http": "http,https,httpproxy,tcp,tls,crypto"}
"""What FFmpeg may open for a URL: never a local file, whatever a server's playlist names."""

_BROKEN_FRAMES = 250
"""Frames in a row that cannot be decoded before the connection is given up."""


class NetworkPicture:
    """A decoded picture that is converted only if somebody takes it.

    Args:
        frame: PyAV's frame.
    """

    def __init__(self, frame: Any) -> None:
        self._frame = frame

    def rgb(self) -> NDArray[np.uint8]:
        """Return uint8 RGB (H, W, 3)."""
        pixels: NDArray[np.uint8] = self._frame.to_ndarray(format="rgb24")
        return pixels


def pictures(
    address: Address, open_timeout: float, read_timeout: float, options: Mapping[str, str]
) -> Generator[NetworkPicture, None, None]:
    """Connect, and yield pictures until the stream ends.

    Args:
        address: a URL.
        open_timeout: seconds within which the server must describe its stream.
        read_timeout: seconds within which each part of it must arrive.
        options: FFmpeg's options, added to those set here.

    Raises:
        CameraError: the server cannot be reached or refuses, or the stream ended or has no video.
    """
    av = load_av("a camera in the network")
    try:
        with closing(_opened(av, address, open_timeout, read_timeout, options)) as container:
            yield from _decoded(av, container, address)
    except av.error.FFmpegError as error:  # its text holds the URL with its password, and so would a chained traceback
        raise CameraError(f"{address.shown}: {_reason(av, error, address, open_timeout, read_timeout)}.") from None
    raise CameraError(f"{address.shown}: the stream ended.")


def _opened(av: Any, address: Address, open_timeout: float, read_timeout: float, options: Mapping[str, str]) -> Any:
    assert address.url is not None
    scheme = urlsplit(address.url).scheme.lower()
    usual = {"protocol_whitelist": _PROTOCOLS[scheme.removesuffix("s")], "fflags": "nobuffer", "flags": "low_delay"}
    usual["fpsprobesize"] = "0"  # nobody needs the rate, and measuring it takes a second
    if scheme.startswith("rtsp"):
        usual["rtsp_transport"] = "tcp"  # over UDP, lost packets smear pictures
    return av.open(address.url, timeout=(open_timeout, read_timeout), options={**usual, **options})


def _decoded(av: Any, container: Any, address: Address) -> Iterator[NetworkPicture]:
    if not container.streams.video:
        held = ", ".join(sorted({stream.type for stream in container.streams})) or "nothing"
        raise CameraError(f"{address.shown}: a stream without video; it holds {held}.")
    stream = container.streams.video[0]
    stream.thread_type = "SLICE"  # a thread for each frame would delay every picture by several frames
    broken = 0
    for packet in container.demux(stream):
        try:
            frames = packet.decode()
        except av.error.InvalidDataError:  # such as before the first complete picture
            broken += 1
            if broken > _BROKEN_FRAMES:
                raise
            continue
        for frame in frames:
            broken = 0
            yield NetworkPicture(frame)


def _reason(av: Any, error: Any, address: Address, open_timeout: float, read_timeout: float) -> str:
    """Return why a connection failed, in words without the URL."""
    kinds = av.error
    known = {
        kinds.HTTPUnauthorizedError: "the server refused the user or the password (401)",
        kinds.HTTPForbiddenError: "the server refused access (403)",
        kinds.HTTPNotFoundError: "the server has no stream of this name (404)",
        kinds.ConnectionRefusedError: "nothing accepts connections there (refused)",
        kinds.ExitError: f"no answer in time (timeouts: {open_timeout:g} s to open, {read_timeout:g} s to read)",
        kinds.TimeoutError: f"no answer in time (timeouts: {open_timeout:g} s to open, {read_timeout:g} s to read)",
        kinds.InvalidDataError: "what the server sends is not a video that FFmpeg can read",
        kinds.EOFError: "the server closed the connection",
        kinds.ConnectionResetError: "the server closed the connection (reset)",
        kinds.ProtocolNotFoundError: "the stream refers to an address that is not allowed here, such as a file",
    }
    for kind, text in known.items():
        if isinstance(error, kind):
            return text
    if isinstance(error, kinds.OSError) and error.errno == errno.EIO:
        broken = "what the server sends is not a video, or the connection broke (EIO)"
        secure = urlsplit(address.url or "").scheme.lower().endswith("s")
        return _unknown_host(address) or broken + (", or the server's certificate is not trusted" if secure else "")
    return f"cannot be read ({type(error).__name__}: {error.strerror})"


def _unknown_host(address: Address) -> str | None:
    """FFmpeg reports a name that does not resolve as an input/output error."""
    with suppress(ValueError):
        parts = urlsplit(address.url or "")
        try:
            socket.getaddrinfo(parts.hostname, parts.port or 554, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):  # UnicodeError: no name of a host has this form
            return f"no host of the name {parts.hostname!r} is known"
    return None
