"""The load on the server: each answer is counted by what was sent for it."""

from __future__ import annotations

from benchmarks.serve_load import LoadClient, Seen
from cgsam_edge import Segmenter
from tests.serve.running import running


def test_a_click_that_needs_the_picture_first_is_counted_apart(segmenter: Segmenter) -> None:
    with running(segmenter, image_memory=1) as server:  # keeps the newest picture alone
        client = LoadClient(server.port, 0, Seen())
        assert client.send("click") == ("upload", 200)  # nothing was uploaded yet
        assert client.send("click") == ("click", 200)
        assert client.send("again") == ("again", 200)
        assert client.send("new") == ("new", 200)  # drops the other picture
        assert client.send("click") == ("upload", 200)
        assert client.send("click") == ("click", 200)
