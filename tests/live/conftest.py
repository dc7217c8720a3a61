"""A server of each kind, each with the path of its camera."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.conftest import slow
from tests.live import servers
from tests.live.servers import Server

KINDS = ("http", "rtsp")

Serve = Callable[..., tuple[Server, str]]

mostly_http = pytest.mark.parametrize("kind", ["http", slow("rtsp")], indirect=True)
"""For a test of what is the same for each protocol: RTSP in the whole suite alone, because its server takes seconds."""


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """Each protocol in turn."""
    pytest.importorskip("av", reason="PyAV is not installed (the extra 'video')")
    return str(request.param)


@pytest.fixture
def serve(kind: str) -> Iterator[Serve]:
    """Start a server; return it and the URL of its camera, without a login."""
    with ExitStack() as stack:

        def start(login: str = "", certificate: str = "") -> tuple[Server, str]:
            serving = servers.mjpeg if kind == "http" else servers.rtsp
            server = stack.enter_context(serving(login=login, certificate=certificate))
            path = "cam.mjpg" if kind == "http" else "cam"
            return server, f"{kind}{'s' if certificate else ''}://127.0.0.1:{server.port}/{path}"

        yield start
