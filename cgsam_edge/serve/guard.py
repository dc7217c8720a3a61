"""`Guard`: what a request must pass before the application sees it."""

from __future__ import annotations

import hmac
import re
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

from cgsam_edge.serve.bodies import BodyReader
from cgsam_edge.serve.metrics import ServerMetrics
from cgsam_edge.serve.refusal import MEDIA_TYPE, Refusal
from cgsam_edge.serve.settings import ServeSettings, is_loopback

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

_NAME = re.compile(r"[\w.-]{1,80}", re.ASCII)
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' blob: data:; "
    "media-src 'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = (
    (b"content-security-policy", _POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
)


class Guard:
    """Checks host, origin, token and body, counts the answer, and adds headers.

    Args:
        app: the application.
        settings: limits.
        metrics: where answers are counted.
        public: paths that need no token.
        full: raises a `Refusal` where a request for the engine would find no place, before its body is read.
        known: paths that are counted by name.
    """

    def __init__(
        self,
        app: App,
        settings: ServeSettings,
        metrics: ServerMetrics,
        public: frozenset[str],
        known: frozenset[str],
        full: Callable[[], None],
    ) -> None:
        self._app = app
        self._settings = settings
        self._metrics = metrics
        self._public = public
        self._known = known
        self._full = full
        self._bodies = BodyReader(settings)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Handle a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, answer = time.perf_counter(), _Answer(send)
        try:
            self._check(scope)
            if scope["method"] == "POST" and scope["path"] in self._known:
                self._full()
            async with self._bodies.read(scope, receive) as replayed:
                await self._app(scope, replayed, answer)
        except Refusal as refusal:
            if not answer.status:
                await answer.refuse(refusal)
                await self._bodies.drain(receive)
                await answer.end()
        path = scope["path"] if scope["path"] in self._known else "other"
        self._metrics.answered(path, answer.status, time.perf_counter() - started)

    def _check(self, scope: Message) -> None:
        headers: dict[bytes, bytes] = dict(scope["headers"])
        host = headers.get(b"host", b"").decode("latin-1")
        self._check_host(host)
        _check_origin(headers, host, scope["method"])
        if self._settings.token is not None and scope["path"] not in self._public:
            _check_token(headers.get(b"authorization", b""), self._settings.token.encode())

    def _check_host(self, host: str) -> None:
        """Refuse names that are not the server's own: another site's name may point here (DNS rebinding)."""
        name = _name(host)
        if name is None or not (_is_address(name) or is_loopback(name) or name in self._settings.names):
            shown = f"{host!r:.80}" if host else "missing"
            option = f"--allow-host {name}" if name is not None and _NAME.fullmatch(name) else "--allow-host NAME"
            raise Refusal(
                403,
                f"the header Host is {shown}, a name that this server does not know. To allow it, start the "
                f"server with {option}.",
            )
        if self._settings.loopback and _is_address(name) and not is_loopback(name):
            raise Refusal(
                403, f"the header Host is {host!r:.80}, but the server listens on {self._settings.host} alone."
            )


class _Answer:
    """Sends an answer with the headers that every answer has, and remembers its status."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.status = 0

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            present = {name.lower() for name, _ in message["headers"]}
            added = [(name, value) for name, value in _HEADERS if name not in present]
            message = {**message, "headers": [*message["headers"], *added]}
        await self._send(message)

    async def refuse(self, refusal: Refusal) -> None:
        """Send all of a refusal, but do not end it: the rest of the body may still come in."""
        body = refusal.body()
        headers = {"content-type": MEDIA_TYPE, "content-length": str(len(body)), "connection": "close"}
        headers |= refusal.headers
        raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        await self({"type": "http.response.start", "status": refusal.status, "headers": raw})
        await self({"type": "http.response.body", "body": body, "more_body": True})

    async def end(self) -> None:
        """End a refusal."""
        await self({"type": "http.response.body", "body": b"", "more_body": False})


def _name(host: str) -> str | None:
    """Return the name or address in a header Host, without its port; None if it has no valid form."""
    try:
        parts = urlsplit(f"//{host}")
        _ = parts.port  # raises if it is not a number
    except ValueError:
        return None
    return parts.hostname if parts.netloc == host and "@" not in host and not parts.path else None


def _is_address(name: str) -> bool:
    """Whether this is an IP address, which no name server can point elsewhere."""
    from ipaddress import ip_address

    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def _check_origin(headers: dict[bytes, bytes], host: str, method: str) -> None:
    """Refuse what another site's page sends; programs send no Origin."""
    origin = headers.get(b"origin")
    if origin is not None and _place(origin.decode("latin-1")) != host.lower():
        raise Refusal(403, f"a page of {origin.decode('latin-1')!r:.80} may not use this server.")
    if method not in ("GET", "HEAD") and headers.get(b"sec-fetch-site") in (b"cross-site", b"same-site"):
        raise Refusal(403, "a page of another site may not use this server.")


def _place(origin: str) -> str | None:
    """Return the host and port of an origin in lower case; None if it has no valid form."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return None


def _check_token(header: bytes, token: bytes) -> None:
    kind, _, given = header.partition(b" ")
    given = given.strip()
    if kind.lower() != b"bearer" or not given:
        raise Refusal(401, "a token is needed: send 'Authorization: Bearer TOKEN'.", WWW_Authenticate="Bearer")
    if not hmac.compare_digest(given, token):
        raise Refusal(
            401, "this token is wrong: send the one that the server was started with.", WWW_Authenticate="Bearer"
        )
