"""From a seed and an index to a picture with its labels."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from cgsam_edge.opencv import cv2
from cgsam_edge.quality.scenes.canvas import Canvas
from cgsam_edge.quality.scenes.concepts import CONCEPTS, TREE
from cgsam_edge.quality.scenes.layout import compose
from cgsam_edge.quality.scenes.mix import PLAIN, Mix

TEXTURE = np.array([0.0, 0.06, 0.03, 0.09, 0.08, 0.14, 0.02, 0.05, 0.02, 0.06, 0.06, 0.12], np.float32)
"""How strongly each label's surface varies in brightness."""
TILE = 1024


@dataclass(frozen=True)
class Scene:
    """A rendered street scene.

    Attributes:
        image: (height, width, 3) uint8 RGB.
        labels: (height, width) uint8, an index of ``CONCEPTS`` or ``IGNORE``.
    """

    image: NDArray[np.uint8]
    labels: NDArray[np.uint8]

    def __post_init__(self) -> None:
        """Refuse a picture and labels of different sizes."""
        if self.image.shape != (*self.labels.shape, 3):
            raise ValueError(f"expected an image of shape {(*self.labels.shape, 3)}, got {self.image.shape}")


@lru_cache(maxsize=1)
def _grain() -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Return fine, middling and coarse noise tiles (TILE, TILE) with unit variance, the same for every scene."""
    rng = np.random.default_rng(20240501)
    tiles = []
    for cells in (TILE, TILE // 3, TILE // 14):
        tile = cv2.resize(rng.standard_normal((cells, cells), np.float32), (TILE, TILE), interpolation=cv2.INTER_LINEAR)
        tiles.append((tile / tile.std()).astype(np.float32))
    return tiles[0], tiles[1], tiles[2]


def _cut(rng: np.random.Generator, tile: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    """Return a random window (height, width) of a tile, repeated where the picture is larger."""
    y, x = rng.integers(0, TILE, 2)
    if y + height <= TILE and x + width <= TILE:
        return tile[y : y + height, x : x + width]
    return np.take(np.take(tile, np.arange(y, y + height) % TILE, 0), np.arange(x, x + width) % TILE, 1)


def photograph(canvas: Canvas) -> Scene:
    """Return the picture that a camera takes of a painted scene, with its labels."""
    image, mirrored = develop(canvas, canvas.rng)
    return Scene(*(np.ascontiguousarray(one[:, ::-1] if mirrored else one) for one in (image, canvas.labels)))


def develop(canvas: Canvas, sensor: np.random.Generator) -> tuple[NDArray[np.uint8], bool]:
    """Average the picture down, give surfaces their texture, and add exposure, blur and noise.

    Args:
        canvas: the painted scene, whose random numbers decide everything but the noise.
        sensor: random numbers of the noise.

    Returns:
        The picture (height, width, 3), and whether it is to be mirrored.
    """
    rng, (height, width) = canvas.rng, canvas.labels.shape
    image = cv2.resize(canvas.image, (width, height), interpolation=cv2.INTER_AREA).astype(np.float32)
    fine, middle, coarse = (_cut(rng, tile, height, width) for tile in _grain())
    strength = (TEXTURE * rng.uniform(0.5, 1.5, len(TEXTURE)).astype(np.float32))[canvas.labels]
    leafy = (canvas.labels == TREE).astype(np.float32) * 0.5
    strength[image[..., 1] > 200] *= 0.3  # bright surfaces, and sky between twigs, are smooth
    gain = 1 + strength * (0.4 * fine + (0.5 + leafy) * middle + 0.6 * coarse)
    image *= gain[..., None]
    if rng.random() < 0.4:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.4, 1.0) * width / 512)
    image = np.clip(image * rng.uniform(0.9, 1.2), 0, 255)
    image = 255 * (image / 255) ** np.float32(rng.uniform(0.75, 1.15))
    noise = _cut(sensor, _grain()[0], height, width)[..., None] * np.float32(rng.uniform(0, 5))
    return np.clip(image + noise, 0, 255).astype(np.uint8), bool(rng.random() < 0.5)


def render(seed: int, index: int, height: int = 512, width: int = 512, mix: Mix = PLAIN) -> Scene:
    """Render scene ``index`` of the endless series ``seed``: always the same picture.

    Args:
        seed, index: non-negative; scenes of different pairs are independent.
        height, width: pixels.
        mix: how often scenes hold what.

    Returns:
        The picture with one of ``CONCEPTS``'s indices, or ``IGNORE``, per pixel.
    """
    if min(height, width) < 16:
        raise ValueError(f"expected a height and width of at least 16 pixels, got {height}x{width}")
    return photograph(compose(np.random.default_rng((seed, index)), width, height, mix))


__all__ = ["CONCEPTS", "Scene", "photograph", "render"]
