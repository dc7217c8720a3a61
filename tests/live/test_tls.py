"""`Camera` against servers that speak TLS: RTSPS and HTTPS, with a certificate that nobody has signed."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from cgsam_edge import Camera, CameraError
from tests.live.clock_picture import HEIGHT, WIDTH
from tests.live.conftest import Serve

OPENSSL = shutil.which("openssl")
LOGIN = "someone:t0psecret"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1; beside it, ``both.pem`` has its key too."""
    if OPENSSL is None:
        pytest.skip("openssl is not installed")
    folder = tmp_path_factory.mktemp("tls")
    key, made = folder / "key.pem", folder / "certificate.pem"
    command = [OPENSSL, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=camera"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(made)]
    subprocess.run(command, check=True, capture_output=True)
    (folder / "both.pem").write_text(key.read_text() + made.read_text())
    return made


def test_a_camera_over_tls(serve: Serve, certificate: Path) -> None:
    _, url = serve(LOGIN, str(certificate.with_name("both.pem")))
    assert url.startswith(("rtsps://", "https://"))
    mine = url.replace("://", f"://{LOGIN}@")
    with Camera(mine) as camera:
        frame = camera.read(10)
        assert frame is not None
        assert frame.image.shape == (HEIGHT, WIDTH, 3)
    with pytest.raises(CameraError, match=r"refused the user or the password \(401\)") as caught:
        Camera(mine.replace("t0psecret", "hunter2"))
    assert "hunter2" not in str(caught.value)


def test_a_certificate_is_checked_if_asked(serve: Serve, certificate: Path) -> None:
    _, url = serve("", str(certificate.with_name("both.pem")))
    with pytest.raises(CameraError, match="certificate is not trusted"):
        Camera(url, options={"tls_verify": "1"})
    with Camera(url, options={"tls_verify": "1", "ca_file": str(certificate)}) as camera:
        assert camera.read(10) is not None


def test_plain_words_to_a_server_of_tls(serve: Serve, certificate: Path) -> None:
    _, url = serve("", str(certificate.with_name("both.pem")))
    with pytest.raises(CameraError, match=r"not a video|closed the connection"):
        Camera(url.replace("s://", "://"))
