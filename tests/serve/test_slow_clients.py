"""Clients that send too slowly, and ones that do not read what they asked for."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator

import pytest
from uvicorn.server import ServerState

from cgsam_edge import Segmenter
from cgsam_edge.serve.server import SLOWEST_READ, BoundedProtocol, config
from cgsam_edge.serve.settings import ServeSettings
from tests.serve.running import FORM, HOST, Client, parsed, read_all, running, until


@pytest.fixture(scope="module")
def hasty(segmenter: Segmenter) -> Iterator[Client]:
    """A server that waits only a moment for what must arrive."""
    with running(segmenter, upload_timeout=1.5) as client:
        yield client


@pytest.mark.parametrize("begun", [b"GET / HT", b"GET / HTTP/1.1\r\nHo", b""])
def test_a_slow_head(hasty: Client, begun: bytes) -> None:
    answer = parsed(hasty.raw(begun))
    assert (answer.status, "did not arrive within 1.5 s" in answer.detail) == (408, True)


def test_a_slow_body(hasty: Client) -> None:
    """One byte now and then does not keep it alive."""
    head = b"POST /images HTTP/1.1\r\n" + HOST + b"Content-Length: 1000\r\nContent-Type: " + FORM.encode() + b"\r\n\r\n"
    with socket.create_connection(("127.0.0.1", hasty.port), timeout=30) as connection:
        connection.sendall(head)
        try:
            for _ in range(100):
                connection.sendall(b"-")
                connection.settimeout(0.1)
                try:
                    answer = connection.recv(65536)
                    break
                except TimeoutError:
                    continue
        except OSError:
            pytest.fail("closed without an answer")
        connection.settimeout(30)
        reply = parsed(answer + read_all(connection))
    assert (reply.status, "the body did not arrive within 1.5 s" in reply.detail) == (408, True)


def test_a_client_that_does_not_read_is_cut(segmenter: Segmenter, monkeypatch: pytest.MonkeyPatch) -> None:
    """It asks for more than the system's buffers hold, and leaves it there."""
    monkeypatch.setattr(BoundedProtocol, "send_seconds", 0.2)
    with running(segmenter) as client, socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(30)
        connection.connect(("127.0.0.1", client.port))
        connection.sendall((b"GET /sample.webp HTTP/1.1\r\n" + HOST + b"\r\n") * 300)  # more than 10 MB
        until(lambda: cut(connection), 30)


def cut(connection: socket.socket) -> bool:
    try:
        connection.send(b"G")
    except OSError:
        return True
    return False


def test_a_client_that_reads_slowly_is_not(segmenter: Segmenter) -> None:
    """What counts is what it took since the last look."""

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        chosen = config(segmenter, ServeSettings())
        chosen.load()
        ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        protocol = BoundedProtocol(chosen, ServerState(), {})
        transport, _ = await loop.connect_accepted_socket(lambda: protocol, ours)
        transport.write(bytes(2**24))
        unread = transport.get_write_buffer_size()
        assert unread > 2 * SLOWEST_READ
        while transport.get_write_buffer_size() > unread - SLOWEST_READ:
            await loop.sock_recv(theirs, 65536)
        protocol._check_reading(unread)
        assert not transport.is_closing()
        protocol._check_reading(transport.get_write_buffer_size())
        assert transport.is_closing()
        theirs.close()

    asyncio.run(scenario())
