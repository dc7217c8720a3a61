"""What Schemathesis cannot know: bytes that are a picture, and how a form holds an empty list."""

from __future__ import annotations

from typing import Any

import schemathesis
from hypothesis import strategies as st
from PIL import Image

from tests.serve.running import png


def _picture(size: tuple[int, int], colour: str) -> bytes:
    return png(Image.new("RGB", size, colour))


_SIDE = st.integers(2, 40)
schemathesis.openapi.format("binary", st.builds(_picture, st.tuples(_SIDE, _SIDE), st.sampled_from(["red", "white"])))


@schemathesis.hook
def filter_body(_context: Any, body: Any) -> bool:
    """Leave out an empty list as a part: Schemathesis sends no part for it, and a form without that part is valid."""
    return not (isinstance(body, dict) and body.get("request") == [])
