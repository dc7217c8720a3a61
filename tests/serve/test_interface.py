"""The interface describes itself, and keeps to the description."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from cgsam_edge import Segmenter, __version__
from cgsam_edge.serve.assets import assets
from cgsam_edge.serve.schemas import ALL_FORMATS
from tests.serve.running import Client, running


def test_concepts(server: Client, segmenter: Segmenter) -> None:
    found = server.get("/concepts").json
    assert [one["concept"] for one in found["concepts"]] == list(segmenter.concepts)
    assert found["bundle"] == "scenes.cgsam"  # without the folder in which it lies
    assert found["click_slots"] == 16


def test_health(server: Client) -> None:
    assert server.get("/health").json == {
        "status": "ok", "version": __version__, "backend": "onnxruntime", "device": "CPU",
    }  # fmt: skip


def test_metrics_are_prometheus_s(server: Client, street: bytes) -> None:
    from prometheus_client.parser import text_string_to_metric_families

    server.form("/segment", street, {"concepts": ["car"]})
    families = {one.name: one for one in text_string_to_metric_families(server.get("/metrics").body.decode())}
    assert {"cgsam_requests", "cgsam_request_seconds", "cgsam_part_seconds", "cgsam_kept_images"} <= set(families)
    parts = {one.labels.get("part") for one in families["cgsam_part_seconds"].samples}
    assert parts == {"queue", "image", "concepts"}
    for path in ("/../etc", "/nothing"):
        server.get(path)
    paths = {one.labels["path"] for one in families["cgsam_requests"].samples}
    assert paths <= {
        "/segment",
        "/images",
        "/concepts",
        "/health",
        "/metrics",
        "/docs",
        "/openapi.json",
        "other",
        *assets(),
    }


def test_the_pages_load_nothing_from_elsewhere(server: Client) -> None:
    page = server.get("/docs")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    text = page.body.decode()
    assert "POST /segment" in text
    assert "<script" not in text
    assert re.findall(r'(?:src|href)="(?!#)([^"]*)"', text) == ["openapi.json"]


def test_the_description(server: Client, segmenter: Segmenter) -> None:
    described = server.get("/openapi.json").json
    assert set(described["paths"]) == {"/segment", "/images", "/concepts", "/health", "/metrics"}
    schemas = described["components"]["schemas"]
    assert schemas["SegmentOptions"]["properties"]["format"]["enum"] == list(ALL_FORMATS)
    assert set(segmenter.concepts) < set(schemas["ConceptPrompt"]["properties"]["concept"]["enum"])
    named = set(re.findall(r'"#/components/schemas/(\w+)"', str(described).replace("'", '"')))
    assert named <= set(schemas)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_schemathesis_finds_nothing(segmenter: Segmenter, street: bytes, tmp_path: Path) -> None:
    """Requests that the description allows, and ones that it does not, made up by Schemathesis: all of its checks."""
    pytest.importorskip("schemathesis", reason="needs schemathesis (make test-serve-tools)")
    here = Path(__file__).parent
    with running(segmenter, waiting=4) as client:
        assert client.form("/images", street).status == 200
        done = subprocess.run(
            [
                *(sys.executable, "-c", "from schemathesis.cli import schemathesis; schemathesis()"),
                *("--config-file", str(here / "schemathesis.toml"), "--no-color", "run"),
                *(f"http://127.0.0.1:{client.port}/openapi.json", "--continue-on-failure"),
                *("--max-examples", "40", "--generation-deterministic"),
            ],
            env={
                **os.environ,
                "SCHEMATHESIS_HOOKS": "tests.serve.schemathesis_hooks",
                "PYTHONPATH": str(here.parents[1]),
            },
            cwd=tmp_path,  # where it keeps what it found
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert "5 selected / 5 total" in done.stdout
