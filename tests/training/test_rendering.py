"""Training scenes, rendered by several processes."""

import multiprocessing
import time
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import numpy as np
import pytest

from cgsam_edge.quality.scenes import HARD, PLAIN, render
from training.cache import Rendering

SIZE = 64


def test_scenes_of_several_mixes_take_turns(tmp_path: Path) -> None:
    rendering = Rendering(tmp_path, 3, 3, SIZE, 1, (PLAIN, HARD))
    scenes = rendering.wait(3)
    rendering.stop()
    for index, mix in enumerate((PLAIN, HARD, PLAIN)):
        assert np.array_equal(scenes.labels[index], render(3, index, SIZE, SIZE, mix).labels)
    other = Rendering(tmp_path, 3, 3, SIZE, 1)  # the same series in the everyday mix alone is another one
    assert np.array_equal(other.wait(3).labels[1], render(3, 1, SIZE, SIZE).labels)
    other.stop()


def test_a_renderer_that_is_killed_is_noticed(tmp_path: Path) -> None:
    rendering = Rendering(tmp_path, 0, 60, 256, workers=1)
    deadline = time.monotonic() + 60
    while not multiprocessing.active_children() and time.monotonic() < deadline:
        time.sleep(0.05)
    for child in multiprocessing.active_children():
        child.kill()
    with pytest.raises(BrokenProcessPool):
        rendering.wait(60)
    rendering.stop()
