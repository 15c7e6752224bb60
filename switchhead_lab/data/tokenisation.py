"""Tokenizers: text to ids and back, trained on the training split only."""

import io
import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, Protocol, assert_never

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from switchhead_lab.config.data import (
    ByteTokenizer,
    CharTokenizer,
    SentencePieceTokenizer,
    TokenizerConfig,
)
from switchhead_lab.data.file_errors import reading
from switchhead_lab.errors import DataError
from switchhead_lab.tracking.bounded import interruptible

TokenIds = NDArray[np.uint16]

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
MAX_TRAINING_BYTES = 32 * 2**20
"""Maximum text to train SentencePiece on, which needs some 40 bytes of memory per byte."""


class Tokenizer(Protocol):
    """The interface of all tokenizers."""

    @property
    def vocab_size(self) -> int:
        """Number of ids, used or not."""
        ...

    @property
    def end_of_document(self) -> int:
        """Id that follows every document."""
        ...

    @property
    def unknown(self) -> int | None:
        """Id of unknown characters; None if every text can be encoded."""
        ...

    def encode(self, text: str) -> TokenIds:
        """Return the ids of a text, without an end of document."""
        ...

    def encode_all(self, texts: Sequence[str]) -> list[TokenIds]:
        """Return the ids of each text."""
        ...

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of ids; an end of document has none."""
        ...

    def to_bytes(self) -> bytes:
        """Return the tokenizer as the contents of its file."""
        ...


class SentencePieces:
    """SentencePiece unigram model with byte fallback; decoding restores every text exactly.

    Newlines are encoded as byte pieces and lines one by one: over a long text, SentencePiece's
    float32 scores lose precision, and the ids of a line would depend on the text before it.
    U+2581 is encoded as bytes too, because SentencePiece represents spaces by it.
    """

    unknown = None
    _VERBATIM = re.compile("([\n\u2581])")

    def __init__(self, model: bytes) -> None:
        import sentencepiece

        self._model = model
        self._processor = sentencepiece.SentencePieceProcessor(model_proto=model)
        self._verbatim_ids = {
            character: [self._processor.piece_to_id(f"<0x{b:02X}>") for b in character.encode()]
            for character in "\n\u2581"
        }

    @property
    def vocab_size(self) -> int:
        """Number of pieces."""
        return int(self._processor.get_piece_size())

    @property
    def end_of_document(self) -> int:
        """Id of the end-of-sentence piece."""
        return int(self._processor.eos_id())

    def encode(self, text: str) -> TokenIds:
        """Return the ids of a text."""
        return self.encode_all([text])[0]

    def encode_all(self, texts: Sequence[str]) -> list[TokenIds]:
        """Return the ids of each text, in one call, since each has a cost of its own."""
        parts = [self._VERBATIM.split(text) for text in texts]
        encoded = iter(self._processor.encode(list(chain(*parts)), num_threads=1))
        return [self._joined(zip(some, encoded, strict=False)) for some in parts]

    def _joined(self, parts: Iterable[tuple[str, list[int]]]) -> TokenIds:
        """Return the ids of parts, of which those verbatim have others than SentencePiece's."""
        ids: list[int] = []
        for part, encoded in parts:
            ids.extend(self._verbatim_ids.get(part, encoded))
        return np.array(ids, dtype=np.uint16)

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of ids."""
        return str(self._processor.decode([int(i) for i in ids]))

    def to_bytes(self) -> bytes:
        """Return SentencePiece's model file."""
        return self._model


class Utf8Bytes:
    """One id per UTF-8 byte; byte 0 ends a document."""

    vocab_size = 256
    end_of_document = 0
    unknown = None

    def encode(self, text: str) -> TokenIds:
        """Return the ids of a text.

        Raises:
            DataError: If the text holds a NUL, which would read as an end of document.
        """
        if "\0" in text:
            raise DataError("the text holds a NUL character, which the byte tokenizer reserves")
        return np.frombuffer(text.encode("utf-8"), dtype=np.uint8).astype(np.uint16)

    def encode_all(self, texts: Sequence[str]) -> list[TokenIds]:
        """Return the ids of each text."""
        return [self.encode(text) for text in texts]

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of ids; bytes that form no character become U+FFFD."""
        kept = bytes(int(i) for i in ids if i != self.end_of_document)
        return kept.decode("utf-8", errors="replace")

    def to_bytes(self) -> bytes:
        """Return only the kind, since nothing is trained."""
        return _to_json({"kind": "byte"})


class Characters:
    """One id per character; 0 is an unknown character, 1 ends a document."""

    unknown = 0
    end_of_document = 1
    N_RESERVED = 2

    def __init__(self, characters: str, vocab_size: int) -> None:
        self.vocab_size = vocab_size
        self._characters = characters
        self._id_of = np.full(0x110000, self.unknown, dtype=np.uint16)
        codes = [ord(character) for character in characters]
        self._id_of[codes] = np.arange(self.N_RESERVED, self.N_RESERVED + len(codes))
        unused = vocab_size - self.N_RESERVED - len(codes)
        self._text_of = [REPLACEMENT, "", *characters, *[REPLACEMENT] * unused]

    def encode(self, text: str) -> TokenIds:
        """Return the ids of a text."""
        codes = np.frombuffer(text.encode("utf-32-le"), dtype="<u4")
        ids: TokenIds = self._id_of[codes]
        return ids

    def encode_all(self, texts: Sequence[str]) -> list[TokenIds]:
        """Return the ids of each text."""
        return [self.encode(text) for text in texts]

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of ids; unknown characters become U+FFFD."""
        return "".join(self._text_of[int(i)] for i in ids)

    def to_bytes(self) -> bytes:
        """Return the characters in order of their ids, as JSON."""
        return _to_json(
            {"kind": "char", "vocab_size": self.vocab_size, "characters": self._characters}
        )


def tokenizer_id(config: TokenizerConfig) -> str:
    """Return the name of a tokenizer in paths and tables, e.g. `sentencepiece-2048`."""
    return (
        config.kind if isinstance(config, ByteTokenizer) else f"{config.kind}-{config.vocab_size}"
    )


def tokenizer_file_name(config: TokenizerConfig) -> str:
    """Return the name of the file that holds a trained tokenizer."""
    return "tokenizer.model" if isinstance(config, SentencePieceTokenizer) else "tokenizer.json"


def train_tokenizer(config: TokenizerConfig, texts: Iterable[str]) -> Tokenizer:
    """Train a tokenizer; the same texts give the same tokenizer, byte for byte.

    Args:
        config: Kind and vocabulary size.
        texts: The training documents, read once.

    Raises:
        DataError: If the texts are too short, or have too many characters, for the size.
    """
    match config:
        case SentencePieceTokenizer():
            return SentencePieces(_train_sentencepiece(config.vocab_size, texts))
        case ByteTokenizer():
            return Utf8Bytes()
        case CharTokenizer():
            counts = Counter[str]()
            for text in texts:
                counts.update(text)
            # Ties go to the lower code point, so that ids do not depend on the order of the texts.
            ranked = sorted(counts, key=lambda character: (-counts[character], character))
            kept = ranked[: config.vocab_size - Characters.N_RESERVED]
            return Characters("".join(kept), config.vocab_size)
        case _:
            assert_never(config)


def load_tokenizer(config: TokenizerConfig, path: Path) -> Tokenizer:
    """Load a trained tokenizer from its file.

    Raises:
        DataError: If the file is missing, damaged or of another size than configured.
    """
    damaged = DataError(
        f"{path}: not a {tokenizer_id(config)} tokenizer; delete its folder and prepare again"
    )
    with reading(path, "prepare again"):
        contents = path.read_bytes()
    try:
        tokenizer = _from_bytes(config, contents)
    except (RuntimeError, ValueError, LookupError, TypeError):
        raise damaged from None
    if tokenizer.vocab_size != config.vocab_size:
        raise damaged
    return tokenizer


def _from_bytes(config: TokenizerConfig, contents: bytes) -> Tokenizer:
    match config:
        case SentencePieceTokenizer():
            return SentencePieces(contents)
        case ByteTokenizer():
            if json.loads(contents) != {"kind": "byte"}:
                raise ValueError("not a byte tokenizer")
            return Utf8Bytes()
        case CharTokenizer():
            values = json.loads(contents)
            return Characters(values["characters"], values["vocab_size"])
        case _:
            assert_never(config)


def _to_json(values: dict[str, Any]) -> bytes:
    return (json.dumps(values, sort_keys=True) + "\n").encode("ascii")


def _train_sentencepiece(vocab_size: int, texts: Iterable[str]) -> bytes:
    lines = _sample_lines(texts)
    if not lines:
        raise DataError(
            "the train split has no line with text to train SentencePiece on; give it some text"
        )
    try:
        return interruptible(lambda: _run_trainer(vocab_size, lines))
    except RuntimeError as error:
        raise DataError(_explain_training_failure(str(error), vocab_size)) from None


def _run_trainer(vocab_size: int, lines: list[str]) -> bytes:
    import sentencepiece

    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines),
        model_writer=model,
        model_type="unigram",
        vocab_size=vocab_size,
        byte_fallback=True,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        add_dummy_prefix=False,
        unk_id=0,
        eos_id=1,
        bos_id=-1,
        pad_id=-1,
        max_sentence_length=2**30,
        # Several threads would sum expectations in another order and train another model.
        num_threads=1,
        minloglevel=2,
    )
    return model.getvalue()


def _sample_lines(texts: Iterable[str]) -> list[str]:
    """Return all non-blank lines, or every k-th if they exceed `MAX_TRAINING_BYTES`.

    k is the smallest power of two that suffices, so that one pass over a stream is enough.
    """
    kept: list[str] = []
    n_bytes, k = 0, 1
    lines = (line for text in texts for line in text.split("\n") if line.strip())
    for number, line in enumerate(lines):
        if number % k == 0:
            kept.append(line)
            n_bytes += len(line.encode("utf-8"))
            while n_bytes > MAX_TRAINING_BYTES and len(kept) > 1:
                k *= 2
                kept = kept[::2]
                n_bytes = sum(len(line.encode("utf-8")) for line in kept)
    return kept


def _explain_training_failure(message: str, vocab_size: int) -> str:
    """Turn SentencePiece's two errors about size into advice; both print a valid size."""
    too_small = re.search(r"set it to a value <= (\d+)", message)
    if too_small:
        largest = int(too_small[1])
        try:
            SentencePieceTokenizer(vocab_size=largest)
            advice = f"use a vocab_size of at most {largest}, or give more text"
        except ValidationError:
            advice = "give more text, or use the byte or char tokenizer"
        return f"the training text is too small for vocab_size={vocab_size}; {advice}"
    too_many = re.search(r"required_chars\. (\d+) vs (\d+)", message)
    if too_many:
        return (
            f"the training text has too many characters for vocab_size={vocab_size}; "
            f"use at least {too_many[2]}"
        )
    return f"SentencePiece could not be trained: {message}"
