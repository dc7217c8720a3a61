"""CLIP's tokenizer as a file that devices read without open_clip."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import open_clip
from tokenizers import Regex, Tokenizer
from tokenizers import models as models_
from tokenizers.normalizers import NFC, Lowercase, Replace, Sequence, Strip
from tokenizers.pre_tokenizers import ByteLevel, Split
from tokenizers.pre_tokenizers import Sequence as Steps

from cgsam_edge.export.reference import ReferenceModel, text
from cgsam_edge.manifest import TEXT_FILE, TOKENIZER_FILE

_WORDS = r"<start_of_text>|<end_of_text>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
"""CLIP's pattern for splitting text into words, from open_clip."""


def write_tokenizer(path: Path) -> None:
    """Write CLIP's byte-pair encoding as a ``tokenizer.json`` of the ``tokenizers`` library.

    Unlike open_clip's tokenizer, it neither repairs encodings (ftfy) nor decodes HTML entities: concept names have
    neither.
    """
    source = open_clip.SimpleTokenizer()
    merges = sorted(source.bpe_ranks, key=source.bpe_ranks.__getitem__)
    tokenizer = Tokenizer(models_.BPE(source.encoder, merges, end_of_word_suffix="</w>", unk_token="<end_of_text>"))  # noqa: S106
    tokenizer.normalizer = Sequence([NFC(), Replace(Regex(r"\s+"), " "), Strip(), Lowercase()])
    words = Split(Regex(_WORDS), behavior="removed", invert=True)
    tokenizer.pre_tokenizer = Steps([words, ByteLevel(add_prefix_space=False, use_regex=False)])
    path.parent.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(path), pretty=False)


def write_text_files(model: ReferenceModel, folder: Path, *, prompt_ensemble: bool) -> None:
    """Write the files that the text graphs need: tokenizer, redundant feature t_0, and the templates if used."""
    write_tokenizer(folder / TOKENIZER_FILE)
    templates = [template("{}") for template in text.templates()] if prompt_ensemble else []
    redundant = text.redundant_feature(model.clip).numpy()
    np.savez(folder / TEXT_FILE, redundant=redundant, templates=np.array(templates, dtype=np.str_))
