"""Running the server: uvicorn, with limits on connections and on the heads of requests."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from cgsam_edge.errors import InputError
from cgsam_edge.serve.app import make_app
from cgsam_edge.serve.refusal import MEDIA_TYPE, Refusal, title
from cgsam_edge.serve.settings import MOST_CONNECTIONS, ServeSettings

if TYPE_CHECKING:
    from cgsam_edge.segmenter import Segmenter

MOST_HEAD_BYTES = 64 * 1024
KEEP_ALIVE_SECONDS = 30
SLOWEST_READ = 16 * 1024
"""Bytes that a client must take of an answer in each ``send_seconds``, or else all of the rest."""


class BoundedProtocol(H11Protocol):
    """uvicorn's HTTP/1.1, where heads of requests and unread answers are limited in time, and refusals are JSON."""

    head_seconds = 30.0
    send_seconds = 30.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a connection, or refuse one too many."""
        super().connection_made(transport)
        transport.set_write_buffer_limits(high=0)  # `pause_writing` then comes with the first byte that is left unread
        self._read_timer: asyncio.TimerHandle | None = None
        self._head_timer: asyncio.TimerHandle | None = self.loop.call_later(self.head_seconds, self._late)
        if len(self.connections) > MOST_CONNECTIONS:
            self._refuse(Refusal(503, f"{MOST_CONNECTIONS} connections are open, which is the limit."))

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the timers."""
        self._stop_timer()
        self._stop_read_timer()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Give the client a time in which it must read what was sent."""
        super().pause_writing()
        self._watch_reading()

    def resume_writing(self) -> None:
        """Go on: the client has read everything."""
        self._stop_read_timer()
        super().resume_writing()

    def data_received(self, data: bytes) -> None:
        """Read, and give the head of a request a time in which it must be complete."""
        if self.transport.is_closing():
            return
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self._stop_timer()
        elif self._head_timer is None:
            self._head_timer = self.loop.call_later(self.head_seconds, self._late)

    def send_400_response(self, msg: str) -> None:
        """Refuse a head that is no HTTP, or too long; called where the error is handled."""
        status = getattr(sys.exc_info()[1], "error_status_hint", 400)
        detail = f"the head is longer than {MOST_HEAD_BYTES} bytes." if status == 431 else f"no valid HTTP. {msg}"
        self._refuse(Refusal(status, detail))

    def _late(self) -> None:
        self._head_timer = None
        self._refuse(Refusal(408, f"the head did not arrive within {self.head_seconds:g} s."))

    def _watch_reading(self) -> None:
        self._stop_read_timer()
        unread = self.transport.get_write_buffer_size()
        self._read_timer = self.loop.call_later(self.send_seconds, self._check_reading, unread)

    def _check_reading(self, before: int) -> None:
        """Cut the connection of a client that does not read; closing it would wait until it does."""
        self._read_timer = None
        if before - self.transport.get_write_buffer_size() < SLOWEST_READ:
            self.transport.abort()
        else:
            self._watch_reading()

    def _stop_read_timer(self) -> None:
        if self._read_timer is not None:
            self._read_timer.cancel()
            self._read_timer = None

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _refuse(self, refusal: Refusal) -> None:
        self._stop_timer()
        if self.transport.is_closing():
            return
        if self.cycle is None or self.cycle.response_complete or not self.cycle.response_started:
            body = refusal.body()
            head = f"HTTP/1.1 {refusal.status} {title(refusal.status)}\r\ncontent-type: {MEDIA_TYPE}\r\n"
            head += f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
            self.transport.write(head.encode() + body)
        self.transport.close()


def serve(segmenter: Segmenter, settings: ServeSettings, started: Callable[[str], None]) -> None:
    """Serve until the process is interrupted or terminated; running requests are then answered first.

    Args:
        segmenter: the opened bundle.
        settings: limits and the address.
        started: is called with the server's URL once it accepts requests.

    Raises:
        InputError: the address cannot be listened on.
    """
    listening = bind(settings)
    try:
        Server(config(segmenter, settings), lambda: started(url_of(listening))).run(sockets=[listening])
    finally:
        listening.close()


class Server(uvicorn.Server):
    """uvicorn's server, which says when it accepts requests."""

    def __init__(self, config: uvicorn.Config, started: Callable[[], None]) -> None:
        super().__init__(config)
        self._say = started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start."""
        await super().startup(sockets)
        if self.started:
            self._say()


def config(segmenter: Segmenter, settings: ServeSettings) -> uvicorn.Config:
    """Return uvicorn's configuration: no access log, no reload, HTTP/1.1 alone."""
    logging.getLogger("python_multipart").setLevel(logging.ERROR)  # it warns of each form that is none
    protocol = type("Protocol", (BoundedProtocol,), {"head_seconds": settings.upload_timeout})
    options: dict[str, Any] = {
        "http": protocol,
        "ws": "none",
        "log_level": "error",  # any client can cause warnings
        "access_log": False,
        "server_header": False,
        "proxy_headers": False,  # what a client says of itself is not believed
        "h11_max_incomplete_event_size": MOST_HEAD_BYTES,
        "timeout_keep_alive": KEEP_ALIVE_SECONDS,
        "timeout_graceful_shutdown": max(1, round(settings.stop_timeout)),
        "lifespan": "on",
    }
    return uvicorn.Config(make_app(segmenter, settings), **options)


def bind(settings: ServeSettings) -> socket.socket:
    """Return a listening socket.

    Raises:
        InputError: the address is unknown or in use.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)[0]
        made = socket.socket(family, socket.SOCK_STREAM)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(address)
    except OSError as error:
        where = f"{settings.host}:{settings.port}"
        wrong = "--host" if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL else "--port"
        raise InputError(f"cannot listen on {where}: {error.strerror or error}. Try another {wrong}.") from error
    return made


UNKNOWN_ADDRESS = "ADDRESS-OF-THIS-MACHINE"


def _own_address(family: int) -> str | None:
    """Return the address from which this machine would reach others; sends nothing."""
    elsewhere = "2001:db8::1" if family == socket.AF_INET6 else "192.0.2.1"  # addresses for documents alone
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as made:
            made.connect((elsewhere, 9))
            return str(made.getsockname()[0])
    except OSError:
        return None


def url_of(listening: socket.socket) -> str:
    """Return the address of a server as a browser takes it; for a server on all addresses, one of them."""
    host, port = listening.getsockname()[:2]
    if host in ("0.0.0.0", "::"):  # noqa: S104 — compared with, not listened on
        host = _own_address(listening.family) or UNKNOWN_ADDRESS
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/"
