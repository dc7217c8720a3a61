"""From a name to a text feature on the device, with a bundle that contains CLIP's text encoder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cgsam_edge.bundle import Bundle
from cgsam_edge.errors import BackendError, BundleError, ConceptsError
from cgsam_edge.manifest import TEXT_FILE, TEXT_GRAPHS, TOKENIZER_FILE
from cgsam_edge.npz import read_npz
from cgsam_edge.runtimes import first_use
from cgsam_edge.runtimes.devices import AUTO
from cgsam_edge.runtimes.protocol import SessionOptions
from cgsam_edge.runtimes.registry import fitting, target

if TYPE_CHECKING:
    from types import TracebackType

    from numpy.typing import NDArray
    from tokenizers import Tokenizer

    from cgsam_edge.runtimes.protocol import Backend

    Float = NDArray[np.float32]

START, END = "<start_of_text>", "<end_of_text>"


class TextEncoder:
    """CLIP's text encoder and the text half of the semantic adapters; a context manager.

    Args:
        bundle: a bundle exported with ``--text-encoder``.
        backend: "auto", the first available one, or a backend's name to force it. A few names do not need the
            fastest one.

    Raises:
        BundleError: the bundle has no text encoder, or a file of it is damaged.
        BackendError: the backend is unknown, not installed, or cannot open a graph.
    """

    def __init__(self, bundle: Bundle, backend: str = AUTO) -> None:
        if TOKENIZER_FILE not in bundle.manifest.files:
            raise BundleError(
                f"{bundle.path}: has no text encoder, so no concepts can be added, not even from an embedding. Export "
                "it again with --text-encoder, or with the concept in its concepts file."
            )
        bundle.verify([TOKENIZER_FILE, TEXT_FILE])
        self._tokenizer = _tokenizer(bundle.path / TOKENIZER_FILE)
        self._redundant, self._templates = _constants(bundle.path / TEXT_FILE)
        chosen = fitting(backend, bundle.manifest.targets)[0]
        held = target(chosen, bundle.manifest.targets)
        assert held is not None
        graphs = bundle.manifest.targets[held]
        options = SessionOptions(device=_cpu(chosen))
        first_use.try_text(bundle, chosen, held, options)
        self._sessions = {
            name: chosen.open(bundle.verified_graph(held, name), options) for name in TEXT_GRAPHS if name in graphs
        }
        self._length = graphs["text"].inputs[0].shape[-1]

    def feature(self, names: Sequence[str]) -> Float:
        """Return the text feature t of a concept, (D,), with unit length, from its name and synonyms.

        As in upstream: the mean of the names' embeddings, minus the part that all texts share, normalised.

        Raises:
            ConceptsError: a name has more tokens than the encoder takes.
        """
        return self.from_embedding(np.mean([self._named(name) for name in names], axis=0))

    def from_embedding(self, embedding: Float) -> Float:
        """Return t, (D,), of a CLIP text embedding (D,), not normalised, as CLIP's text encoder returns it.

        Raises:
            ConceptsError: its shape is wrong, or it is not finite.
        """
        if np.shape(embedding) != self._redundant.shape or not np.isfinite(embedding).all():
            raise ConceptsError(
                f"an embedding must be {len(self._redundant)} finite numbers, as CLIP's text encoder returns them, got "
                f"shape {np.shape(embedding)}."
            )
        difference = np.asarray(embedding, np.float64) - self._redundant
        return np.asarray(difference / np.linalg.norm(difference), np.float32)

    def row(self, feature: Float) -> Float:
        """Return the contribution of a text feature t (D,) to each block that takes text, (n, r)."""
        if "text_row" not in self._sessions:
            raise BackendError("the model has no block that takes text.")
        out = self._sessions["text_row"].run({"text": feature[None]})
        return np.asarray(out["text_row"][0], np.float32)

    def _named(self, name: str) -> NDArray[np.float64]:
        """Return CLIP's embedding of one name, through the templates if the export used them."""
        if self._templates is None:
            return self._embed(name)
        each = np.stack([self._embed(template.replace("{}", name)) for template in self._templates])
        each /= np.linalg.norm(each, axis=1, keepdims=True)
        return np.asarray((each / np.linalg.norm(each.mean(axis=0))).mean(axis=0))

    def _embed(self, text: str) -> NDArray[np.float64]:
        numbers = [self._number(START), *self._tokenizer.encode(text, add_special_tokens=False).ids, self._number(END)]
        if len(numbers) > self._length:
            raise ConceptsError(f"{text[:40] + '…'!r} is too long: {len(numbers)} tokens, CLIP takes {self._length}.")
        tokens, end = np.zeros((1, 2, self._length), np.float32), np.zeros((1, self._length), np.float32)
        tokens[0, :, : len(numbers)], end[0, len(numbers) - 1] = np.divmod(numbers, 256), 1
        out = self._sessions["text"].run({"token_ids": tokens, "end": end})["text_embedding"][0]
        return np.asarray(out, np.float64)

    def _number(self, token: str) -> int:
        number = self._tokenizer.token_to_id(token)
        if number is None:
            raise BundleError(f"the bundle's tokenizer lacks {token}.")
        return number

    def close(self) -> None:
        """Free the engine."""
        for session in self._sessions.values():
            session.close()

    def __enter__(self) -> TextEncoder:  # noqa: PYI034 — Self needs Python 3.11
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _cpu(backend: Backend) -> str:
    devices = [device for device in backend.devices() if not device.missing]
    return next((device.name for device in devices if device.kind == "cpu"), devices[0].name)


def _tokenizer(path: Path) -> Tokenizer:
    try:
        from tokenizers import Tokenizer
    except ImportError as error:
        raise BackendError("adding concepts needs the package tokenizers: pip install 'cgsam-edge[text]'.") from error
    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises a plain Exception
        raise BundleError(f"{path}: not a tokenizer ({error}).") from error


def _constants(path: Path) -> tuple[NDArray[np.float64], list[str] | None]:
    """Return the redundant feature t_0 (D,), and the templates, or None if names are used without templates."""
    arrays = read_npz(path, "the constants of a text encoder")
    try:
        redundant, templates = arrays["redundant"].astype(np.float64), [str(t) for t in arrays["templates"]]
    except (KeyError, ValueError, TypeError) as error:
        raise BundleError(f"{path}: not the constants of a text encoder ({error}).") from error
    if redundant.ndim != 1 or not np.isfinite(redundant).all():
        raise BundleError(f"{path}: the redundant feature must be finite numbers, got shape {redundant.shape}.")
    return redundant, templates or None
