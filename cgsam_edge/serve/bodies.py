"""`BodyReader`: bodies of requests, read whole within limits of size, time and memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, MutableMapping
from contextlib import asynccontextmanager
from typing import Any

from cgsam_edge.serve.refusal import Refusal
from cgsam_edge.serve.settings import ServeSettings

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]

DRAIN_SECONDS = 2.0
"""How long what a refused client still sends is read: it reads the answer only once it has sent."""


class BodyReader:
    """Reads bodies, and knows how many bytes are held.

    Args:
        settings: limits.
    """

    def __init__(self, settings: ServeSettings) -> None:
        self._settings = settings
        self._held = 0

    @asynccontextmanager
    async def read(self, scope: Message, receive: Receive) -> AsyncIterator[Receive]:
        """Read the body, and yield a ``receive`` that hands it on.

        Raises:
            Refusal: 413 if it is too big, 408 if it is too slow, 503 if all bodies together are too big.
        """
        self._check_length(dict(scope["headers"]).get(b"content-length"))
        parts: list[bytes] = []
        try:
            await self._in_time(self._collect(receive, parts))
            yield _replay(b"".join(parts), receive)
        finally:
            self._held -= sum(map(len, parts))

    async def _in_time(self, collecting: Coroutine[Any, Any, None]) -> None:
        limit = self._settings.upload_timeout
        try:
            await asyncio.wait_for(collecting, limit)
        except asyncio.TimeoutError as error:
            raise Refusal(408, f"the body did not arrive within {limit:g} s.") from error

    async def drain(self, receive: Receive) -> None:
        """Read and forget what still comes in, for a moment."""

        async def forget() -> None:
            while (await receive()).get("more_body"):
                pass

        try:
            await asyncio.wait_for(forget(), DRAIN_SECONDS)
        except asyncio.TimeoutError:
            return

    def _check_length(self, header: bytes | None) -> None:
        if header is not None and header.isdigit() and int(header[:20]) > self._settings.max_upload:
            raise self._too_big(f"{header[:20].decode()} bytes")

    async def _collect(self, receive: Receive, parts: list[bytes]) -> None:
        length, more = 0, True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise Refusal(499, "the client closed the connection.")
            part = message.get("body", b"")
            length, more = length + len(part), message.get("more_body", False)
            if length > self._settings.max_upload:
                raise self._too_big("longer")
            if self._held + len(part) > self._settings.body_memory:
                raise Refusal(503, "too many uploads at once. Try again later.", Retry_After="5")
            parts.append(part)
            self._held += len(part)

    def _too_big(self, found: str) -> Refusal:
        return Refusal(413, f"the body is {found}; the limit is {self._settings.max_upload} bytes.")


def _replay(body: bytes, receive: Receive) -> Receive:
    """Return a ``receive`` that hands on a body, and then waits for the client to leave."""
    rest: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replayed() -> Message:
        return rest.pop() if rest else await receive()

    return replayed
