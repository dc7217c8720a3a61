"""Time of day and weather: the effect of light on the colours of a scene."""

from dataclasses import dataclass

import numpy as np

from cgsam_edge.quality.scenes.camera import Floats


@dataclass(frozen=True)
class Light:
    """The light of one scene.

    Attributes:
        sun: unit vector towards the sun (right, up, along the street).
        direct: additional brightness of sunlit surfaces over shaded ones; 0 when overcast.
        level: brightness of the whole picture, 1 at noon.
        tint: RGB factors of the light's colour.
        zenith, skyline: RGB of the sky overhead and at the horizon, 0-255.
        clouds: cloud contrast, 0-1.
        haze: share of the skyline colour per metre of distance.
        lamps: whether windows and lamps are lit.
    """

    sun: Floats
    direct: float
    level: float
    tint: Floats
    zenith: Floats
    skyline: Floats
    clouds: float
    haze: float
    lamps: bool

    def shade(self, colours: Floats, normal: Floats, distance: Floats) -> Floats:
        """Return RGB colours (n, 3) as surfaces of this normal (3,) look at these distances (n,), in metres."""
        facing = max(0.0, float(normal[0] * self.sun[0] + normal[1] * self.sun[1] + normal[2] * self.sun[2]))
        gain = self.level * (1.0 - 0.35 * self.direct + self.direct * 0.75 * facing)
        clear = np.exp(-self.haze * distance)[:, None]
        lit = colours * (self.tint * gain) * clear + self.skyline * (1 - clear)
        return np.asarray(np.minimum(np.maximum(lit, 0), 255))


@dataclass(frozen=True)
class _Base:
    """The parts of every kind of light: the direction of the sun, a random tint, and haze."""

    sun: Floats
    wobble: Floats
    haze: float


def draw_light(rng: np.random.Generator) -> Light:
    """Draw the light of a scene: sunny, overcast, dusk or a dark evening."""
    azimuth, height = rng.uniform(0, 2 * np.pi), np.radians(rng.uniform(15, 65))
    kind = rng.choice(4, p=(0.5, 0.3, 0.14, 0.06))
    sun = np.array([np.cos(azimuth) * np.cos(height), np.sin(height), np.sin(azimuth) * np.cos(height)])
    wobble = rng.uniform(0.92, 1.08, 3)
    haze = rng.uniform(0.0, 0.008) + (rng.uniform(0.01, 0.02) if rng.random() < 0.08 else 0.0)
    kinds = (_sunny, _overcast, _dusk, _evening)
    return kinds[kind](rng, _Base(sun, wobble, haze))


def _sunny(rng: np.random.Generator, base: _Base) -> Light:
    """From deep blue to nearly white."""
    pale = rng.uniform(0, 1)
    zenith = np.array([60.0, 120.0, 205.0]) * (1 - pale) + np.array([205.0, 222.0, 240.0]) * pale
    return Light(
        base.sun,
        rng.uniform(0.5, 1.0),
        rng.uniform(0.85, 1.1),
        base.wobble * (1.03, 1.0, 0.95),
        zenith * base.wobble,
        np.array([215.0, 228.0, 240.0]) * base.wobble,
        rng.uniform(0, 0.8),
        base.haze,
        False,
    )


def _overcast(rng: np.random.Generator, base: _Base) -> Light:
    grey = rng.uniform(140, 245)
    return Light(
        base.sun,
        rng.uniform(0, 0.2),
        rng.uniform(0.7, 0.95),
        base.wobble * (0.97, 1.0, 1.03),
        grey * 0.9 * base.wobble,
        np.minimum(grey * 1.08, 250) * base.wobble,
        rng.uniform(0.1, 0.7),
        base.haze,
        rng.random() < 0.2,
    )


def _dusk(rng: np.random.Generator, base: _Base) -> Light:
    zenith = np.array([rng.uniform(50, 120), rng.uniform(70, 110), rng.uniform(110, 170)])
    skyline = np.array([rng.uniform(200, 250), rng.uniform(140, 190), rng.uniform(90, 160)])
    return Light(
        base.sun,
        rng.uniform(0.1, 0.6),
        rng.uniform(0.55, 0.8),
        base.wobble * (1.15, 0.95, 0.8),
        zenith,
        skyline,
        rng.uniform(0.1, 0.9),
        base.haze,
        rng.random() < 0.6,
    )


def _evening(rng: np.random.Generator, base: _Base) -> Light:
    glow = rng.uniform(40, 110)
    return Light(
        base.sun,
        rng.uniform(0, 0.1),
        rng.uniform(0.5, 0.7),
        base.wobble * (0.9, 0.95, 1.1),
        glow * np.array([0.5, 0.6, 1.0]),
        glow * np.array([1.0, 0.95, 1.1]),
        rng.uniform(0.1, 0.9),
        base.haze,
        rng.random() < 0.85,
    )
