"""Real servers of streams on loopback, as processes that a test can end and start again."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest

SYSTEM_PYTHON = "/usr/bin/python3"
"""Debian's, which has GStreamer's bindings."""

PACKAGES = "gir1.2-gst-rtsp-server-1.0, python3-gi, gstreamer1.0-plugins-base, -good, -ugly"
ELEMENTS = ["appsrc", "videoconvert", "x264enc", "rtph264pay", "audiotestsrc", "alawenc", "rtppcmapay"]

_ROOT = Path(__file__).parents[2]


def free_port() -> int:
    """Return a port of loopback that nothing uses."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


class Server:
    """A program that listens on a port; the port stays the same when it is started again.

    Args:
        command: the program; the port follows.
        arguments: what follows the port.
    """

    def __init__(self, command: list[str], *arguments: object) -> None:
        self.port = free_port()
        self._command = [*command, str(self.port), *map(str, arguments)]
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Start, and wait until it listens."""
        environment = {**os.environ, "PYTHONPATH": str(_ROOT)}
        self._process = subprocess.Popen(
            self._command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"

    def kill(self) -> None:
        """End it, as a power cut would."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def freeze(self) -> None:
        """Let it hold its connections and answer nothing."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)


@cache
def _has_gstreamer() -> bool:
    program = (
        "import gi; gi.require_version('Gst', '1.0'); gi.require_version('GstRtspServer', '1.0')\n"
        "from gi.repository import Gst, GstRtspServer; Gst.init(None)\n"
        f"assert all(map(Gst.ElementFactory.find, {ELEMENTS}))"
    )
    if not Path(SYSTEM_PYTHON).exists():
        return False
    return not subprocess.run([SYSTEM_PYTHON, "-c", program], capture_output=True, check=False).returncode


@contextmanager
def _running(server: Server) -> Iterator[Server]:
    server.start()
    try:
        yield server
    finally:
        server.kill()


@contextmanager
def mjpeg(rate: float = 25, login: str = "", certificate: str = "") -> Iterator[Server]:
    """Serve Motion JPEG over HTTP, or over HTTPS with a certificate (a PEM file with its key)."""
    with _running(Server([sys.executable, "-m", "tests.live.mjpeg_server"], rate, login, certificate)) as server:
        yield server


@contextmanager
def rtsp(rate: int = 25, login: str = "", certificate: str = "") -> Iterator[Server]:
    """Serve H.264 over RTSP, or over RTSPS with a certificate (a PEM file with its key)."""
    if not _has_gstreamer():
        pytest.skip(f"GStreamer's RTSP server is not installed ({PACKAGES})")
    with _running(
        Server([SYSTEM_PYTHON, str(_ROOT / "tests/live/rtsp_server.py")], rate, login, certificate)
    ) as server:
        yield server
