"""A real server on loopback for the tests, and a client that says no more than it is asked to."""

from __future__ import annotations

import http.client
import io
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from PIL import Image

from cgsam_edge import Segmenter
from cgsam_edge.serve.server import Server, bind, config
from cgsam_edge.serve.settings import ServeSettings

FORM = "multipart/form-data; boundary=edge"
HOST = b"Host: localhost\r\n"


@dataclass(frozen=True)
class Reply:
    """An answer."""

    status: int
    headers: dict[str, str]
    body: bytes = field(repr=False)

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def detail(self) -> str:
        """The reason of a refusal; every refusal must have one."""
        assert self.headers["content-type"] == "application/problem+json", self
        assert self.json["status"] == self.status
        return str(self.json["detail"])


@dataclass(frozen=True)
class Client:
    """Speaks with a server."""

    port: int

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Reply:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, body, {name.replace("_", "-"): text for name, text in headers.items()})
            answer = connection.getresponse()
            found = {name.lower(): value for name, value in answer.getheaders()}
            return Reply(answer.status, found, answer.read())
        finally:
            connection.close()

    def get(self, path: str, **headers: str) -> Reply:
        return self.ask("GET", path, None, **headers)

    def json(self, path: str, value: Any, **headers: str) -> Reply:
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        return self.ask("POST", path, body, content_type="application/json", **headers)

    def form(self, path: str, picture: bytes, request: Any = None, name: str = "street.png", **headers: str) -> Reply:
        return self.ask("POST", path, form(picture, request, name), content_type=FORM, **headers)

    def raw(self, sent: bytes, *, end: bool = False) -> bytes:
        """Send bytes, and return all that comes back until the server closes."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=30) as connection:
            connection.sendall(sent)
            if end:
                connection.shutdown(socket.SHUT_WR)
            return read_all(connection)


def parsed(answer: bytes) -> Reply:
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines)
    return Reply(int(first.split()[1]), headers, body)


def read_all(connection: socket.socket) -> bytes:
    found = b""
    try:
        while part := connection.recv(65536):
            found += part
    except ConnectionResetError:
        pass
    return found


def form(picture: bytes, request: Any = None, name: str = "street.png") -> bytes:
    parts = [(f'name="image"; filename="{name}"', "application/octet-stream", picture)]
    if request is not None:
        parts.append(('name="request"', "application/json", json.dumps(request).encode()))
    made = io.BytesIO()
    for disposition, kind, content in parts:
        made.write(f"--edge\r\nContent-Disposition: form-data; {disposition}\r\nContent-Type: {kind}\r\n\r\n".encode())
        made.write(content + b"\r\n")
    made.write(b"--edge--\r\n")
    return made.getvalue()


def png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


@contextmanager
def running(segmenter: Segmenter, **settings: Any) -> Iterator[Client]:
    """Run a server in a thread on a free port, and stop it as a signal would."""
    chosen = ServeSettings(**{"port": 0, **settings})
    listening = bind(chosen)
    ready = threading.Event()
    server = Server(config(segmenter, chosen), ready.set)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        assert ready.wait(30)
        yield Client(listening.getsockname()[1])
    finally:
        server.should_exit = True
        thread.join(30)
        listening.close()
        assert not thread.is_alive()


def until(condition: Any, seconds: float = 10) -> None:
    """Wait until something holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never held"
        time.sleep(0.01)
