"""Screening: CLIP's similarity judges all concepts at once, before anything is computed for one of them.

It orders concepts by their probability to be in the image, and rules out those that are surely absent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cgsam_edge.presence import EVIDENCE as PRESENCE_EVIDENCE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cgsam_edge.limits import Limits

    Float = NDArray[np.float32]

EVIDENCE_COLUMNS = (4, 6)
EVIDENCE = tuple(PRESENCE_EVIDENCE[i] for i in EVIDENCE_COLUMNS)
"""Numbers by which the probability is judged, in the order of the screening's weights: similarity peak and caption.

Further numbers known without running a graph for a concept (means, contrast, softmax over the vocabulary, patches won)
did not help.
"""

EMPTY_MASK = (0.0, 0.0, 0.5, 0.0)
"""The first four numbers of presence's evidence for an empty mask with a predicted IoU of 0."""

COLUMNS = len(EVIDENCE) + 2
"""Columns: one weight per number, a bias and a threshold."""


_VECTOR_PRODUCTS, _MATRIX_PRODUCTS = 2**13, 2**18
"""Multiply-adds of a matrix with a vector, and of two matrices, up to which OpenBLAS uses a single thread."""


def products_on_one_thread(features: Float, text: Float) -> Float:
    """Return features (P, D) times text (N, D), float32 (P, N), a few rows at a time.

    For one large product, NumPy's OpenBLAS would start its threads, which then busy-wait for about 20 ms and take cores
    from the engine that runs next: a click on ViT-B took twice as long.
    """
    rows = max(1, min(_VECTOR_PRODUCTS // text.shape[1], _MATRIX_PRODUCTS // max(1, text.size)))
    return np.concatenate([features[i : i + rows] @ text.T for i in range(0, len(features), rows)])


@dataclass(frozen=True, eq=False)
class Screened:
    """All N concepts of a vocabulary in one image.

    Attributes:
        scores: similarity of each concept with the P patches, float32 (P, N).
        evidence: in the order of `EVIDENCE`, float32 (N, 2).
        chances: probability that the image holds each concept, from similarity alone, float64 (N,); NaN if not
            calibrated.
        ruled_out: which concepts are ruled out, bool (N,); never one without calibration.
    """

    scores: Float
    evidence: Float
    chances: NDArray[np.float64]
    ruled_out: NDArray[np.bool_]

    @classmethod
    def of(cls, clip_features: Float, text: Float, table: Float) -> Screened:
        """Screen a vocabulary.

        Args:
            clip_features: the class token's and the patches', (1 + P, D).
            text: text features, (N, D).
            table: for each concept one weight per number, a bias and a threshold, (N, 4); NaN if not calibrated. The
                probability is 1 / (1 + exp(-(w · e + b))), and below the threshold the concept is ruled out.
        """
        products = products_on_one_thread(clip_features, text)
        scores = products[1:]
        caption = products[0] / max(float(np.linalg.norm(clip_features[0])), 1e-12)
        found = np.stack([scores.max(axis=0), caption], axis=1).astype(np.float32)
        sums = (found * table[:, :-2]).sum(axis=1, dtype=np.float64) + table[:, -2]
        chances = 1 / (1 + np.exp(-np.clip(sums, -30, 30)))
        return cls(scores, found, chances, chances < table[:, -1])

    def likeliest_first(self, indices: Sequence[int]) -> list[int]:
        """Return concepts in the order of their probability, or of their peak if one of them is not calibrated."""
        chances = self.chances[list(indices)]
        keys = self.peaks[list(indices)] if np.isnan(chances).any() else chances
        return [indices[i] for i in np.argsort(-keys, kind="stable")]

    def select(self, indices: Sequence[int], limits: Limits) -> tuple[list[int], list[int], list[int]]:
        """Return concepts to compute, concepts ruled out, and those beyond ``max_concepts``; each likeliest first."""
        order = self.likeliest_first(indices)
        skipped = [i for i in order if limits.skip_absent and self.ruled_out[i]]
        wanted = [i for i in order if not (limits.skip_absent and self.ruled_out[i])]
        most = len(wanted) if limits.max_concepts is None else limits.max_concepts
        return wanted[:most], skipped, wanted[most:]

    @property
    def peaks(self) -> Float:
        """The greatest similarity of a patch with each concept, float32 (N,)."""
        return self.evidence[:, 0]

    def evidence_without_mask(self, index: int) -> Float:
        """Return the evidence of presence for an empty mask, float32 (7,)."""
        peak, caption = self.evidence[index]
        return np.asarray((*EMPTY_MASK, peak, peak - self.scores[:, index].mean(), caption), np.float32)
