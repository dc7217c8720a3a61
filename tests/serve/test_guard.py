"""Who may ask: hosts, origins, tokens; and what every answer carries."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path

import pytest

from cgsam_edge import Segmenter
from cgsam_edge.errors import InputError
from cgsam_edge.serve.server import UNKNOWN_ADDRESS, bind, url_of
from cgsam_edge.serve.settings import ServeSettings
from tests.commands import cgsam, fails
from tests.serve.running import Client, running

TOKEN = "correct-horse-battery-staple"
ANY = "0.0.0.0"


@pytest.mark.parametrize(
    "host", ["evil.com", "evil.com:80", "localhost.evil.com", "user@localhost", "192.168.0.9", "a b"]
)
def test_other_names_are_refused(server: Client, host: str) -> None:
    """A name server may point any name at this machine (DNS rebinding)."""
    answer = server.get("/concepts", Host=host)
    assert (answer.status, "Host" in answer.detail) in ((403, True), (400, False)), answer.body


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:9", "[::1]:80", "LOCALHOST:1"])
def test_own_names_are_taken(server: Client, host: str) -> None:
    assert server.get("/concepts", Host=host).status == 200


@pytest.mark.parametrize(
    "origin", ["http://evil.com", "null", "http://localhost.evil.com", "http://localhost:1", "http://["]
)
def test_pages_of_other_sites_are_refused(server: Client, street: bytes, origin: str) -> None:
    answer = server.form("/segment", street, Origin=origin)
    assert (answer.status, "may not use this server" in answer.detail) == (403, True)


def test_the_own_page_is_taken(server: Client) -> None:
    port = server.port
    assert server.json("/segment", {}, Origin=f"http://127.0.0.1:{port}", Host=f"127.0.0.1:{port}").status == 422
    crossed = server.json("/segment", {}, Sec_Fetch_Site="cross-site")
    assert (crossed.status, "another site" in crossed.detail) == (403, True)


def test_a_token_is_asked_of_everybody(segmenter: Segmenter, capfd: pytest.CaptureFixture[str]) -> None:
    with running(segmenter, token=TOKEN, host=ANY) as client:
        assert client.get("/health").status == 200
        for path in ("/concepts", "/metrics", "/openapi.json", "/docs"):
            for given in ("", TOKEN, f"Basic {TOKEN}", "Bearer ", f"Bearer {TOKEN[:-1]}", f"Bearer {TOKEN}x"):
                answer = client.get(path, Authorization=given)
                assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer"), (path, given)
                assert TOKEN not in answer.detail
                wrong = given.startswith("Bearer c")
                assert ("this token is wrong" in answer.detail) == wrong
                assert ("a token is needed" in answer.detail) != wrong
            assert client.get(path, Authorization=f"Bearer {TOKEN}").status == 200
        assert client.get("/nothing").status == 401  # nor does it say what there is
        assert b"securitySchemes" in client.get("/openapi.json", Authorization=f"bearer {TOKEN}").body
        assert client.get("/health", Host="192.168.0.9:80").status == 200  # an address, which nobody can rebind
        assert client.get("/health", Host="evil.com").status == 403
    assert TOKEN not in "".join(capfd.readouterr())


def test_names_can_be_allowed(segmenter: Segmenter) -> None:
    with running(segmenter, token=TOKEN, host=ANY, names=("lab.example",)) as client:
        assert client.get("/health", Host="lab.example:8765").status == 200
        refused = client.get("/health", Host="other.example:8765")
        assert (refused.status, "--allow-host other.example." in refused.detail) == (403, True)


@pytest.mark.parametrize("host", [ANY, "::", "192.168.0.9", "lab.example"])
def test_other_machines_need_a_token(host: str) -> None:
    with pytest.raises(InputError, match="needs a token"):
        ServeSettings(host=host)
    ServeSettings(host=host, token=TOKEN)


@pytest.mark.parametrize(("host", "option"), [("nohost.invalid", "--host"), ("192.0.2.7", "--host")])
def test_an_address_that_is_not_here(host: str, option: str) -> None:
    with pytest.raises(InputError, match=f"cannot listen on {host}:0: .*Try another {option}"):
        bind(ServeSettings(host=host, port=0, token=TOKEN))


def test_a_port_in_use() -> None:
    with bind(ServeSettings(port=0)) as taken:
        taken.listen()
        with pytest.raises(InputError, match="Try another --port"):
            bind(ServeSettings(port=taken.getsockname()[1]))


def test_the_address_is_one_to_open() -> None:
    with bind(ServeSettings(host=ANY, port=0, token=TOKEN)) as listening:
        host = url_of(listening).removeprefix("http://").rpartition(":")[0]
    assert host != ANY
    assert host == UNKNOWN_ADDRESS or ip_address(host).version == 4
    with bind(ServeSettings(port=0)) as listening:
        assert url_of(listening) == f"http://127.0.0.1:{listening.getsockname()[1]}/"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_loopback_needs_none(host: str) -> None:
    assert ServeSettings(host=host).loopback


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"token": "short"}, "16 or more"),
        ({"token": "with spaces in between"}, "without spaces"),
        ({"port": 70_000}, "0 to 65535"),
        ({"port": -1}, "port must be 0 or more"),
        ({"waiting": -1}, "waiting must be 0 or more"),
        ({"workers": 0}, "workers must be 1 or more"),
        ({"timeout": float("nan")}, "timeout must be"),
        ({"max_pixels": 10**9}, "max_pixels must be 100000000 at most"),
    ],
)
def test_settings_are_checked(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        ServeSettings(**wrong)  # type: ignore[arg-type]


def test_a_file_with_an_unusable_token_is_named(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("short\n")
    fails(cgsam("serve", "--token-file", "token", cwd=tmp_path), 3, "token: the token must be 16 or more", "got 5")


def test_the_token_is_not_shown() -> None:
    assert TOKEN not in repr(ServeSettings(token=TOKEN))


def test_answers_carry_what_browsers_need(server: Client) -> None:
    for path in ("/health", "/docs", "/nothing"):
        headers = server.get(path).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert "access-control-allow-origin" not in headers
        assert "server" not in headers
