"""Augmentation of a whole batch at once, on the device that holds the pictures."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from cgsam_edge.quality.scenes import IGNORE

SHARPEST = 1.3
"""Source pixels per pixel above which windows are sampled at twice the size and averaged, against aliasing."""

BLUR_RADIUS = 3
"""Side of the Gaussian's window, in pixels."""


@dataclass(frozen=True)
class Look:
    """How strongly colours change.

    Attributes:
        gamma, gain, balance, shift: half the range of each change: exponent, brightness, white balance, offset.
        blurred, noisy, grey: share of the pictures that are blurred, get noise, or lose some of their colour.
        noise: greatest standard deviation, with pixels of 0 to 1.
    """

    gamma: float = 0.35
    gain: float = 0.2
    balance: float = 0.08
    shift: float = 0.06
    blurred: float = 0.15
    noisy: float = 0.3
    grey: float = 0.3
    noise: float = 0.03


PLAIN = Look()
STRONG = Look(gamma=0.5, gain=0.35, balance=0.15, shift=0.1, blurred=0.3, noisy=0.5, grey=0.35, noise=0.05)
"""Strength for a few hundred real frames, which a model would otherwise memorise."""


WHOLE = 0.3
"""Share of the pictures that are seen whole."""

NEAR = 0.2
"""Share of the pictures that are seen from near, as the surroundings of a small box are."""

NEAREST = 0.2
"""Least share of a picture's side that a window from near covers."""


def _uniform(generator: torch.Generator, shape: tuple[int, ...], low: float, high: float) -> Tensor:
    return torch.rand(shape, generator=generator, device=generator.device) * (high - low) + low


def windows(generator: torch.Generator, count: int, narrowest: float, zoom: float) -> Tensor:
    """Draw affine maps (count, 2, 3) from a picture's window to the output, both in -1 to 1; half of them mirrored.

    Args:
        generator: on the pictures' device.
        count: how many.
        narrowest: least share of the picture's side that a window covers, except for those from near.
        zoom: divides all shares.
    """
    kind = _uniform(generator, (count,), 0, 1)
    near = _uniform(generator, (count,), min(NEAREST, narrowest), narrowest)
    share = torch.where(kind < NEAR, near, _uniform(generator, (count,), narrowest, 1.0))
    share = torch.where(kind > 1 - WHOLE, 1.0, share) / zoom
    stretch = torch.where(share < 1, _uniform(generator, (count,), 0.8, 1.25), 1.0).sqrt()
    height, width = (share * stretch).clamp(max=1), (share / stretch).clamp(max=1)
    x, y = (_uniform(generator, (count,), -1, 1) * (1 - side) for side in (width, height))
    mirror = torch.where(_uniform(generator, (count,), 0, 1) < 0.5, -1.0, 1.0)
    none = torch.zeros_like(x)
    return torch.stack([torch.stack([width * mirror, none, x], 1), torch.stack([none, height, y], 1)], 1)


def cut(images: Tensor, labels: Tensor, maps: Tensor, size: int, zoom: float = 1.0) -> tuple[Tensor, Tensor]:
    """Cut windows out of pictures (B, 3, H, W) uint8 and labels (B, H, W) uint8, and squash them to ``size``.

    No window is wider than the picture divided by ``zoom``.

    Returns:
        Pixels of 0 to 1, float32 (B, 3, size, size), and labels int64 (B, size, size).
    """
    finer = 2 if max(images.shape[-2:]) / (zoom * size) > SHARPEST else 1
    grid = F.affine_grid(maps, [len(images), 3, size * finer, size * finer], align_corners=False)
    pixels = F.grid_sample(images.float() / 255, grid, "bilinear", "border", align_corners=False)
    if finer > 1:
        pixels = F.avg_pool2d(pixels, finer)
        grid = F.affine_grid(maps, [len(images), 3, size, size], align_corners=False)
    marks = F.grid_sample(labels[:, None].float(), grid, "nearest", "border", align_corners=False)
    return pixels, marks[:, 0].long().clamp(max=IGNORE)


def recolour(generator: torch.Generator, pixels: Tensor, look: Look) -> Tensor:
    """Change exposure, gamma and white balance of pixels of 0 to 1 (B, 3, S, S); blur, fade or roughen some."""
    count = len(pixels)
    each = (count, 1, 1, 1)
    gamma = _uniform(generator, each, -look.gamma, look.gamma).exp()
    gain = 1 + _uniform(generator, each, -look.gain, look.gain)
    balance = 1 + _uniform(generator, (count, 3, 1, 1), -look.balance, look.balance)
    shift = _uniform(generator, each, -look.shift, look.shift)
    pixels = pixels.clamp(min=0) ** gamma * gain * balance + shift
    grey = (pixels * pixels.new_tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1, keepdim=True)
    faded = (_uniform(generator, each, 0, 1) < look.grey) * _uniform(generator, each, 0, 0.8)
    pixels = _blur(generator, pixels + (grey - pixels) * faded, look.blurred)
    rough = (_uniform(generator, each, 0, 1) < look.noisy) * _uniform(generator, each, 0, look.noise)
    noise = torch.randn(pixels.shape, generator=generator, device=pixels.device)
    return (pixels + noise * rough).clamp(0, 1)


def _blur(generator: torch.Generator, pixels: Tensor, share: float) -> Tensor:
    """Blur a share of the pictures with a Gaussian of 0.5 to 1.5 pixels."""
    count = len(pixels)
    chosen = _uniform(generator, (count, 1), 0, 1) < share
    width = torch.where(chosen, _uniform(generator, (count, 1), 0.5, 1.5), 1e-3)
    places = torch.arange(-BLUR_RADIUS, BLUR_RADIUS + 1, device=pixels.device)
    kernel = (-(places**2) / (2 * width**2)).softmax(dim=1).repeat_interleave(3, 0)
    rows = F.conv2d(pixels.flatten(0, 1)[None], kernel[:, None, None], padding=(0, BLUR_RADIUS), groups=3 * count)
    both = F.conv2d(rows, kernel[:, None, :, None], padding=(BLUR_RADIUS, 0), groups=3 * count)
    blurred: Tensor = both[0].unflatten(0, (count, 3))
    return blurred


def transfer(generator: torch.Generator, pixels: Tensor, palette: Tensor, share: float) -> Tensor:
    """Give a share of the pictures (B, 3, S, S) the mean and contrast of other pictures.

    Args:
        generator: on the pictures' device.
        pixels: of 0 to 1.
        palette: mean and standard deviation of each channel of some pictures, (n, 2, 3).
        share: of the pictures that change.
    """
    count = len(pixels)
    drawn = torch.randint(len(palette), (count,), generator=generator, device=pixels.device)
    mean, spread = (palette[drawn, i][:, :, None, None] for i in range(2))
    own = pixels.mean((2, 3), keepdim=True)
    moved = (pixels - own) / pixels.std((2, 3), keepdim=True).clamp(min=1e-3) * spread + mean
    chosen = _uniform(generator, (count, 1, 1, 1), 0, 1) < share
    return torch.where(chosen, moved, pixels).clamp(0, 1)


def palette_of(images: Tensor) -> Tensor:
    """Return mean and standard deviation of each channel of pictures (n, 3, H, W) uint8: (n, 2, 3), of pixels 0 to 1."""
    small = F.avg_pool2d(images.float() / 255, 4).flatten(2)
    return torch.stack([small.mean(2), small.std(2)], 1)
