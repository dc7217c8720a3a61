"""Options for one graph of a bundle: those of a session, with the arithmetic that the bundle's export proved for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from cgsam_edge import arithmetic
from cgsam_edge.caller_warning import warn_caller

if TYPE_CHECKING:
    from cgsam_edge.bundle import Bundle
    from cgsam_edge.runtimes.protocol import SessionOptions

_TOLD = (arithmetic.FLOAT32, *arithmetic.BELOW_FLOAT32)


def options_for(bundle: Bundle, target: str, graph: str, options: SessionOptions) -> SessionOptions:
    """Return the options to open a graph with."""
    return replace(options, proven=arithmetic.proven(bundle.manifest.arithmetic, target, graph))


def why(bundle: Bundle, target: str, graph: str, options: SessionOptions, computed: str) -> str:
    """Say why a graph computes in what it does; nothing if the engine does not report its arithmetic."""
    if computed not in _TOLD:
        return ""
    return arithmetic.why(arithmetic.proven(bundle.manifest.arithmetic, target, graph), options.precision, computed)


def warn_of_unproven(bundle: Bundle, target: str, computed: Mapping[str, str]) -> None:
    """Warn where graphs were asked to compute in less than the export proved.

    Args:
        bundle: of the graphs.
        target: which of its folders was opened.
        computed: the arithmetic of each graph, as the engine tells.
    """
    proofs = bundle.manifest.arithmetic
    unproven = {
        graph: kind
        for graph, kind in computed.items()
        if kind != arithmetic.FLOAT32 and kind not in (arithmetic.proven(proofs, target, graph) or ())
    }
    if unproven:
        known = set(unproven.values()) <= set(_TOLD)  # some engines do not tell
        kinds = arithmetic.summary(unproven) if known else "less than float32"
        warn_caller(
            f'{bundle.path}: precision="reduced" computes the graphs {", ".join(unproven)} in {kinds}, which its '
            'export did not prove good enough; compare masks with precision="float32".'
        )
