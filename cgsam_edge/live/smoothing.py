"""Masks and presence smoothed over frames, along the picture's own motion, so that a concept does not blink."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from cgsam_edge.errors import InputError
from cgsam_edge.live.motion import Motion, grey

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cgsam_edge.results import ConceptResult, Result

    Float = NDArray[np.float32]

MOST = 0.95
"""Largest amount: beyond it, hardly anything new would be seen."""

_LIMIT = 8.0
"""Logits beyond this count no more than this much, so that one sure frame does not outweigh several others."""

_ODDS = 3.0
"""Log-odds of presence, around the threshold, beyond which a frame counts no more."""

_MARGIN = 1.0
"""Log-odds, times the amount, by which presence must pass its threshold before it changes."""


@dataclass
class _Past:
    """What is kept of a concept.

    Attributes:
        logits: smoothed logits of the last frame (m, m), or None where nothing was computed.
        odds: smoothed log-odds of presence, relative to the threshold.
        present: whether it counted as present.
    """

    logits: Float | None
    odds: float
    present: bool


class Smoother:
    """Smooths the results of successive frames; feed it every frame, in order.

    Logits are averaged with those of the frame before, which are first moved along the optical flow. Where the picture
    does not look like what moved there (something new, or the edge), the new frame counts alone; after a cut,
    everything begins anew. Presence is averaged as log-odds, and changes only once it has passed its threshold by a
    margin.

    Args:
        amount: weight of the past, 0 to 0.95; 0 returns each result as it is.
        thresholds: threshold of each concept's presence; a concept without one keeps its presence, smoothed.

    Raises:
        InputError: the amount is out of range.
    """

    def __init__(self, amount: float, thresholds: Mapping[str, float]) -> None:
        self._amount, self._thresholds = check_amount(amount), thresholds
        self._past: dict[str, _Past] = {}
        self._grey: NDArray[np.uint8] | None = None
        self._size = (0, 0)

    def update(self, result: Result) -> Result:
        """Return the next frame's result, smoothed."""
        if not self._amount:
            return result
        now, motion = grey(result.image), None
        if self._grey is not None and self._size == result.image.size:
            motion = Motion.between(self._grey, now)
        self._grey, self._size = now, result.image.size
        if motion is None or motion.is_cut:
            self._past = {}
        smoothed = {name: self._smoothed(one, self._past.get(name), motion) for name, one in result.concepts.items()}
        self._past = {name: past for name, (_, past) in smoothed.items()}  # what was left out has no past that moves
        return replace(result, concepts={name: one for name, (one, _) in smoothed.items()})

    def _smoothed(self, one: ConceptResult, past: _Past | None, motion: Motion | None) -> tuple[ConceptResult, _Past]:
        threshold = self._thresholds.get(one.name, math.nan)
        calibrated = math.isfinite(threshold)
        shift = _log_odds(threshold) if calibrated else 0.0
        odds = _log_odds(one.presence) - shift
        odds = min(max(odds, -_ODDS), _ODDS) if calibrated else odds
        if past is None or motion is None:
            return one, _Past(None if one.skipped else one.logits, odds, one.present)
        odds += self._amount * (past.odds - odds)
        present = self._stays(past, odds) if calibrated else one.present
        logits = self._mixed(one, past.logits, motion, present=present)
        kept = replace(
            one,
            logits=one.logits if logits is None else logits,
            presence=1 / (1 + math.exp(-odds - shift)),
            present=present and not (one.skipped and logits is None),
            skipped=one.skipped and (logits is None or not present),
        )
        return kept, _Past(logits, odds, kept.present)

    def _stays(self, past: _Past, odds: float) -> bool:
        """Say whether a concept counts as present, which changes only beyond a margin."""
        margin = _MARGIN * self._amount
        return odds >= (-margin if past.present else margin)

    def _mixed(self, one: ConceptResult, before: Float | None, motion: Motion, *, present: bool) -> Float | None:
        """Return the logits averaged with those before; None if there are none: the concept was not computed.

        A concept that was skipped in this frame, but still counts as present, keeps its mask as it moved.
        """
        if before is None or len(before) != len(one.logits):
            return None if one.skipped else one.logits
        if one.skipped and not present:
            return None
        carried = motion.carry(np.clip(before, -_LIMIT, _LIMIT))
        if one.skipped:
            return carried
        weight = self._amount * motion.trust_at(len(carried))
        return np.asarray(one.logits + weight * (carried - np.clip(one.logits, -_LIMIT, _LIMIT)), np.float32)


def check_amount(amount: object) -> float:
    """Return the weight of the past.

    Raises:
        InputError: it is not a number from 0 to `MOST`.
    """
    if isinstance(amount, bool) or not isinstance(amount, (int, float)) or not 0 <= amount <= MOST:
        raise InputError(f"smooth must be a number from 0 (off) to {MOST}, got {amount!r}.")
    return float(amount)


def _log_odds(probability: float) -> float:
    kept = min(max(probability, 1e-6), 1 - 1e-6)
    return math.log(kept / (1 - kept))
