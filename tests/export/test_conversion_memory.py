"""A conversion to ONNX holds few of the weights in memory a second time."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from cgsam_edge.runtimes import children

WEIGHTS = 16 * 4 * 2048**2  # 268 MB

CHILD = """
import json, re, sys
from pathlib import Path
import torch
from torch import nn
from cgsam_edge.export.graphs.build import Graph
from cgsam_edge.export.targets.onnxruntime import convert

def status(key):
    return 1024 * int(re.search(rf"{key}:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])

class Layers(nn.Module):
    def __init__(self, width, count):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(count))

    def forward(self, x):
        for layer in self.layers:
            x = layer(x).relu()
        return {"y": x}

def graph(name, width, count):
    return Graph(name, Layers(width, count).eval().requires_grad_(False), {"x": (1, 4, width)}, ("y",))

folder, precision = Path(sys.argv[1]), sys.argv[2]
convert(graph("small", 64, 1), folder, precision)  # imports, and what libraries keep
large = graph("large", 2048, 16)
Path("/proc/self/clear_refs").write_text("5")
before = status("VmRSS")
convert(large, folder, precision)
print(json.dumps(status("VmHWM") - before))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux counts the greatest memory anew")
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_a_conversion_adds_less_than_half_of_the_weights(precision: str, tmp_path: Path) -> None:
    """When the model was copied as a whole, it added all of them and more."""
    command = [sys.executable, "-c", CHILD, str(tmp_path), precision]
    done = subprocess.run(command, env=children.environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-500:]
    assert (tmp_path / "onnxruntime" / "large.onnx").stat().st_size > WEIGHTS * (0.99 if precision == "fp32" else 0.49)
    assert json.loads(done.stdout.splitlines()[-1]) < WEIGHTS / 2
