"""How many steps an export says there are."""

from __future__ import annotations

import re
from pathlib import Path

from cgsam_edge.export.options import ExportOptions
from cgsam_edge.export.pipeline import planned
from cgsam_edge.export.progress import StepProgress
from cgsam_edge.export.quality_options import QualityOptions


def test_the_count_follows_from_the_names() -> None:
    lines: list[str] = []
    progress = StepProgress(lines.append, ["read", "convert", "measure", "write"])
    with progress.step("read", "a.pth"):
        progress.say("a line between")
    for name in ("measure", "measure again", "write"):  # one is passed over, and one was not foreseen
        with progress.step(name):
            pass
    begun = [line for line in lines if line.endswith("…")]
    assert begun == ["[1/4] read a.pth …", "[2/3] measure …", "[3/4] measure again …", "[4/4] write …"]
    assert lines[1] == "a line between"
    assert re.fullmatch(r"\[1/4\] read a\.pth: \d\.\d s", lines[2])


def test_what_an_export_plans() -> None:
    """Float without a gate, and INT8 for one of two targets with one."""
    options = ExportOptions(Path("a.pth"), Path("b.txt"), Path("c.cgsam"), text_encoder=True)
    plain = ["read a.pth", "text features", "fuse the adapters", "count"]
    graphs = [f"convert {name} for onnxruntime" for name in ("clip", "image", "concept", "decoder", "text", "text_row")]
    rest = ["record examples in PyTorch", "parity of onnxruntime with PyTorch", "write c.cgsam"]
    assert list(planned(options, QualityOptions(gate_count=0))) == [*plain, *graphs, *rest]
    options = ExportOptions(
        Path("a.pth"), Path("b.txt"), Path("c.cgsam"), targets=("onnxruntime", "coreml"), precision="image=int8"
    )
    names = planned(options, QualityOptions())
    assert names[4:6] == ("PyTorch's masks", "calibrate")
    assert names[15:] == (
        *("parity of onnxruntime with PyTorch", "MIL parity of coreml with PyTorch"),
        *("quantise for onnxruntime", "masks of onnxruntime", "quantise for coreml", "masks of coreml"),
        *("arithmetic of onnxruntime", "arithmetic of coreml"),
        *("report", "write c.cgsam"),
    )
