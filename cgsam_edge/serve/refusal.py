"""`Refusal`: an answer other than success, as RFC 9457 has it, always with a reason."""

from __future__ import annotations

import json
from http import HTTPStatus

from cgsam_edge.errors import printable

MEDIA_TYPE = "application/problem+json"

TITLES = {413: "Content Too Large", 422: "Unprocessable Content", 499: "Client Closed Request"}
"""Names of statuses as RFC 9110 has them, where older versions of Python have others, and one of nginx."""


class Refusal(Exception):  # noqa: N818 — most are no errors of the server
    """A request that is not answered as it wishes.

    Attributes:
        status: the HTTP status.
        detail: the reason, for a person.
        headers: further headers of the answer.
    """

    def __init__(self, status: int, detail: str, **headers: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = printable(detail)
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}

    def body(self) -> bytes:
        """Return the body of the answer."""
        content = {"title": title(self.status), "status": self.status, "detail": self.detail}
        return json.dumps(content, ensure_ascii=False).encode("utf-8", "replace")


def title(status: int) -> str:
    """Return the name of a status."""
    return TITLES.get(status) or HTTPStatus(status).phrase
