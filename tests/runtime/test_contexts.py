"""Graphs compiled for an NPU ahead of time: which file is opened, and what is done where it does not load."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from cgsam_edge.bundle import Bundle
from cgsam_edge.errors import BackendError, BundleError
from cgsam_edge.runtimes import contexts
from cgsam_edge.runtimes import onnxruntime as runtime
from cgsam_edge.runtimes.protocol import SessionOptions
from cgsam_edge.runtimes.providers import CPU, Provider


def test_a_compiled_graph_is_taken_for_its_chip_alone(tmp_path: Path) -> None:
    graph, kept = tmp_path / "image.onnx", tmp_path / "cache"
    kept.mkdir()
    contexts.beside(graph, 57).touch()
    of = contexts.of
    compiled, written = of(graph, SessionOptions(soc=57, cache=kept))
    assert (compiled.path, compiled.entries, compiled.compiled) == (tmp_path / "image.onnx.qnn-57.onnx", {}, True)
    assert of(graph, SessionOptions(soc=69)) == (contexts.Context(graph),)
    assert of(graph, SessionOptions(soc=69, cache=kept)) == (written,)
    assert written.path == graph
    assert written.entries["ep.context_file_path"] == str(kept / "image.onnx.qnn.onnx")
    (kept / "image.onnx.qnn.onnx").touch()
    cached, plain = of(graph, SessionOptions(soc=69, cache=kept))
    assert cached.compiled
    assert plain == contexts.Context(graph)


def test_a_compiled_graph_that_does_not_load_is_named_and_the_plain_one_opened(
    tiny_bundle: Path, tmp_path: Path
) -> None:
    """The CPU stands for the NPU: which file is opened is decided for both in the same way."""
    graph = Path(shutil.copy(Bundle(tiny_bundle).verified_graph("onnxruntime", "decoder"), tmp_path))
    cache = tmp_path / "cache"
    cache.mkdir()
    spoilt = (contexts.beside(graph, 57), cache / "decoder.onnx.qnn.onnx")
    for path in spoilt:
        path.write_bytes(b"of another version")
    chip = Provider("QNN", "npu", CPU, "a package", precision="float32")
    with pytest.warns(UserWarning, match="cannot open this compiled graph, so .* is opened instead") as warned:
        session = runtime.OnnxRuntimeSession(graph, SessionOptions(soc=57, cache=cache), chip)
    texts = [str(one.message) for one in warned]
    assert [text.partition(": ")[0] for text in texts] == [str(path) for path in spoilt]
    assert "Run cgsam compile again." in texts[0]
    assert "Remove it." in texts[1]
    assert not session.facts().cached
    graph.write_bytes(b"none either")
    with (
        pytest.warns(UserWarning, match="cannot open this compiled graph"),
        pytest.raises(BackendError, match=r"decoder\.onnx: ONNX Runtime cannot open it"),
    ):
        runtime.OnnxRuntimeSession(graph, SessionOptions(soc=57), chip)


def test_a_compiled_graph_that_the_manifest_does_not_list_is_refused(tiny_bundle: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(tiny_bundle, tmp_path / "b.cgsam")
    Bundle(copy).verified_graph("onnxruntime", "decoder")
    planted = copy / "onnxruntime" / "decoder.onnx.qnn-57.onnx"
    planted.write_bytes(b"anything")
    with pytest.raises(BundleError, match=r"decoder\.onnx\.qnn-57\.onnx: not listed in manifest\.json"):
        Bundle(copy).verified_graph("onnxruntime", "decoder")
