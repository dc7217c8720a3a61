"""What `cgsam serve` may be set to, and the checks of these settings."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from ipaddress import ip_address

from cgsam_edge.errors import InputError
from cgsam_edge.image_limits import MAX_PIXELS

SHORTEST_TOKEN = 16
MOST_CONNECTIONS = 512
HIGHEST_PORT = 65535


@dataclass(frozen=True)
class ServeSettings:
    """Settings of a server.

    Attributes:
        host: the address to listen on. Other machines can reach any but a loopback address.
        port: 0 to 65535; 0 takes a free one.
        token: what a client must send as ``Authorization: Bearer TOKEN``; needed unless ``host`` is loopback.
        names: host names, beside loopback names and addresses, under which a browser may reach the server.
        max_upload: largest body of a request, in bytes.
        max_pixels: largest picture, in pixels.
        waiting: most requests that wait for the engine; a further one is refused with 429.
        workers: requests that the engine computes at once.
        timeout: seconds from a complete request to its answer.
        upload_timeout: seconds within which the head of a request, and then its body, must arrive.
        stop_timeout: seconds that running requests get when the server is stopped.
        image_memory: bytes of encoded pictures that are kept for further clicks.
        body_memory: bytes of all bodies that are held at once.

    Raises:
        InputError: a setting is not possible, or a token is missing or too short.
    """

    host: str = "127.0.0.1"
    port: int = 8765
    token: str | None = field(default=None, repr=False)
    names: tuple[str, ...] = ()
    max_upload: int = 32 * 2**20
    max_pixels: int = 40_000_000
    waiting: int = 32
    workers: int = 1
    timeout: float = 30.0
    upload_timeout: float = 30.0
    stop_timeout: float = 10.0
    image_memory: int = 512 * 2**20
    body_memory: int = 256 * 2**20

    def __post_init__(self) -> None:
        for one in fields(self):
            value = getattr(self, one.name)
            if one.type in ("int", "float") and (isinstance(value, bool) or not value >= _LEAST.get(one.name, 1)):
                raise InputError(f"{one.name} must be {_LEAST.get(one.name, 1)} or more, got {value!r}.")
        if self.port > HIGHEST_PORT:
            raise InputError(f"port must be 0 to {HIGHEST_PORT}, got {self.port}.")
        if self.max_pixels > MAX_PIXELS:
            raise InputError(f"max_pixels must be {MAX_PIXELS} at most, got {self.max_pixels}.")
        if self.token is not None:
            check_token(self.token)
        elif not self.loopback:
            raise InputError(
                f"--host {self.host} lets other machines in, which needs a token: put {SHORTEST_TOKEN} or more random "
                "characters into a file, and name it with --token-file."
            )

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach the server."""
        return is_loopback(self.host)


_LEAST = {"port": 0, "waiting": 0, "timeout": 0.01, "upload_timeout": 0.01, "stop_timeout": 0, "image_memory": 0}
"""The least value of a setting where that is not 1."""


def is_loopback(host: str) -> bool:
    """Return whether an address or name is this machine's own, which no other machine can reach."""
    if host.lower() == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def check_token(token: str) -> None:
    """Raise `InputError` if a token is too short, or cannot be sent."""
    if len(token) < SHORTEST_TOKEN or not token.isascii() or not token.isprintable() or " " in token:
        raise InputError(
            f"the token must be {SHORTEST_TOKEN} or more printable ASCII characters without spaces, got {len(token)} "
            "characters. Make one with: python3 -c 'import secrets; print(secrets.token_urlsafe(32))'"
        )
