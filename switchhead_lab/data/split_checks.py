"""Checks of prepared splits: what every split must hold, and warnings about unusual ones."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from switchhead_lab.data.documents import SPLITS, Corpus, CorpusDocument, Split
from switchhead_lab.data.encoding import EncodedSplit
from switchhead_lab.data.manifest import Manifest
from switchhead_lab.data.source_files import name_some
from switchhead_lab.errors import DataError

MIN_TOKENS = 2
"""A model that reads one token predicts the next: fewer tokens leave nothing to score."""
MOST_OF_TRAIN = 0.5
"""Held-out splits larger than this share of train give a warning; 5 % is intended."""
FEW_TOKENS = 1000
"""Perplexities over fewer held-out tokens are too noisy."""
MANY_UNKNOWN = 0.01
"""A larger share of unknown characters makes a text look much easier than it is."""
_HASH_OF_NOTHING = hashlib.sha256().digest()


def require_text(corpus: Corpus) -> None:
    """Read every split up to its first text, so that a split without text fails fast.

    Raises:
        DataError: If a split has no text.
    """
    for split in SPLITS:
        documents = corpus.splits[split]
        if any(block.strip() for document in documents for block in document.blocks()):
            continue
        n_documents = sum(1 for _ in documents)
        found = f"{n_documents:,} documents without text" if n_documents else "no document"
        raise DataError(
            f"{_origin(corpus.origins, split)}the {split} split holds {found}, but needs at "
            "least one document with text; give it some and prepare again"
        )


def require_targets(origins: Path | Mapping[Split, str], manifest: Manifest) -> None:
    """Reject tokens with a split that cannot be scored.

    Args:
        origins: Folder of the prepared tokens, or what each split was read from.
        manifest: Manifest of the tokens.

    Raises:
        DataError: If a split has no token to predict, or no byte of text.
    """
    for split in SPLITS:
        part = manifest.splits[split]
        if part.n_tokens >= MIN_TOKENS and part.n_bytes > 0:
            continue
        if isinstance(origins, Path):
            origin = f"{origins / f'{split}.bin'}: "
        else:
            origin = _origin(origins, split)
        remedy = f"give it more text and run `lab data prepare PATH --name {manifest.corpus}"
        if manifest.max_train_tokens and split == "train":
            remedy = f"raise max_train_tokens={manifest.max_train_tokens}, or {remedy}"
        raise DataError(
            f'corpus "{manifest.corpus}": {origin}the {split} split has {part.n_tokens:,} tokens '
            f"of {part.n_bytes:,} bytes of text, but needs at least {MIN_TOKENS} tokens and "
            f"1 byte; {remedy} --replace`"
        )


def describe_splits(encoded: Mapping[Split, EncodedSplit], unknown: int | None) -> list[str]:
    """Return warnings about unusual splits, one line each.

    Args:
        encoded: Counts of each split.
        unknown: The tokenizer's id of unknown characters, if it has one.
    """
    lines = []
    n_train = encoded["train"].n_tokens
    for split in SPLITS:
        n_tokens = encoded[split].n_tokens
        if split != "train" and n_tokens > MOST_OF_TRAIN * n_train:
            lines.append(
                f"the {split} split has {n_tokens:,} tokens but train only {n_train:,}; give more "
                "documents, one text file, or a folder with train.txt, validation.txt and test.txt"
            )
        if split != "train" and n_tokens < FEW_TOKENS:
            lines.append(
                f"the {split} split has only {n_tokens:,} tokens, too few to compare models; "
                f"give more text, for {FEW_TOKENS:,} tokens or more"
            )
        n_unknown = 0 if unknown is None else int(encoded[split].token_counts[unknown])
        if n_unknown > MANY_UNKNOWN * n_tokens:
            lines.append(
                f"{n_unknown / n_tokens:.1%} of the {split} split are unknown characters, all one "
                "token; use a larger --vocab-size, or --tokenizer sentencepiece or byte"
            )
    return lines


@dataclass
class CopyFinder:
    """Finds training documents that are also held out; keeps hashes of the held-out texts only."""

    _held_out: set[bytes] = field(default_factory=set)
    _copies: list[str] = field(default_factory=list)

    def watch(self, split: Split, documents: Iterable[CorpusDocument]) -> Iterator[CorpusDocument]:
        """Yield the documents unchanged; train must come last."""
        for document in documents:
            fingerprint = _hash_stripped(document)
            if split != "train":
                self._held_out.add(fingerprint)
            elif fingerprint != _HASH_OF_NOTHING and fingerprint in self._held_out:
                self._copies.append(document.id)
            yield document

    def describe(self) -> list[str]:
        """Name the copies found, in at most one line."""
        if not self._copies:
            return []
        return [
            f"in train, although validation or test holds the same text: "
            f"{name_some(self._copies)}; memorising it inflates scores, so remove the copies"
        ]


def _hash_stripped(document: CorpusDocument) -> bytes:
    """Return the SHA-256 of a text without the white space around it."""
    is_inside = False
    read = stripped = hashlib.sha256()
    for block in document.blocks():
        text = block if is_inside else block.lstrip()
        body = text.rstrip()
        read.update(body.encode("utf-8"))
        if body:
            is_inside, stripped = True, read.copy()
        read.update(text[len(body) :].encode("utf-8"))
    return stripped.digest()


def _origin(origins: Mapping[Split, str], split: Split) -> str:
    return f"{origins[split]}: " if split in origins else ""
