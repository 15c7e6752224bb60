"""Tokenizers exported by switchhead_lab, for Hugging Face transformers.

SentencePiece needs the package sentencepiece; bytes and characters need nothing else.
"""

import json
import re
import shutil
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizer

_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


class SentencePieceVocabulary:
    """SentencePiece with byte fallback; newlines and U+2581 are encoded as bytes, by line."""

    unknown = None
    _VERBATIM = re.compile("([\n\u2581])")

    def __init__(self, path: str) -> None:
        try:
            import sentencepiece
        except ImportError as error:
            raise ImportError(
                "this tokenizer needs sentencepiece: pip install sentencepiece"
            ) from error
        self._processor = sentencepiece.SentencePieceProcessor(model_file=path)
        self.end_of_document = self._processor.eos_id()
        self.tokens = [
            self._processor.id_to_piece(number)
            for number in range(self._processor.get_piece_size())
        ]

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text."""
        parts = self._VERBATIM.split(text)
        ids: list[int] = []
        for part, encoded in zip(parts, self._processor.encode(parts, num_threads=1), strict=True):
            if part in ("\n", "\u2581"):
                encoded = [self._processor.piece_to_id(f"<0x{b:02X}>") for b in part.encode()]
            ids.extend(encoded)
        return ids

    def decode(self, ids: list[int]) -> str:
        """Return the text of ids; an end of document has none."""
        return self._processor.decode(ids)


class ByteVocabulary:
    """One id per UTF-8 byte; byte 0 ends a document."""

    unknown = None
    end_of_document = 0

    def __init__(self) -> None:
        self.tokens = ["<0x00>", *(f"<0x{byte:02X}>" for byte in range(1, 256))]

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text."""
        if "\0" in text:
            raise ValueError("the text holds a NUL character, which ends a document")
        return list(text.encode("utf-8"))

    def decode(self, ids: list[int]) -> str:
        """Return the text of ids; bytes that form no character become U+FFFD."""
        return bytes(i for i in ids if i != self.end_of_document).decode("utf-8", errors="replace")


class CharacterVocabulary:
    """One id per character; 0 is an unknown character, 1 ends a document."""

    unknown = 0
    end_of_document = 1

    def __init__(self, path: str) -> None:
        values = json.loads(Path(path).read_text(encoding="utf-8"))
        self.tokens = ["<unknown>", "<end of document>", *values["characters"]]
        self._id_of = {character: i for i, character in enumerate(self.tokens) if i > 1}
        n_unused = values["vocab_size"] - len(self.tokens)
        self._text_of = [_REPLACEMENT, "", *self.tokens[2:], *[_REPLACEMENT] * n_unused]
        self.tokens += [f"<unused {number}>" for number in range(n_unused)]

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text."""
        return [self._id_of.get(character, self.unknown) for character in text]

    def decode(self, ids: list[int]) -> str:
        """Return the text of ids; unknown characters become U+FFFD."""
        return "".join(self._text_of[i] for i in ids)


class SwitchHeadLabTokenizer(PreTrainedTokenizer):
    """The tokenizer of a run; by default, an end of document precedes a text, as in training.

    Text is never read as special tokens.
    """

    vocab_files_names = {
        "sentencepiece_file": "tokenizer.model",
        "vocabulary_file": "vocabulary.json",
    }
    model_input_names = ["input_ids", "attention_mask"]

    def __init__(
        self,
        kind: str,
        sentencepiece_file: str | None = None,
        vocabulary_file: str | None = None,
        **options: Any,
    ) -> None:
        self._files = {"sentencepiece_file": sentencepiece_file, "vocabulary_file": vocabulary_file}
        if kind == "sentencepiece":
            self._vocabulary: Any = SentencePieceVocabulary(str(sentencepiece_file))
        elif kind == "byte":
            self._vocabulary = ByteVocabulary()
        else:
            self._vocabulary = CharacterVocabulary(str(vocabulary_file))
        tokens = self._vocabulary.tokens
        self._id_of_token = {token: number for number, token in enumerate(tokens)}
        end = tokens[self._vocabulary.end_of_document]
        options |= {"bos_token": end, "eos_token": end, "special_tokens_pattern": "bos"}
        # Right, because chunks are counted from the first token of a text.
        super().__init__(kind=kind, **{"pad_token": end, "padding_side": "right", **options})

    @property
    def vocab_size(self) -> int:
        """Number of ids, used or not."""
        return len(self._vocabulary.tokens)

    def get_vocab(self) -> dict[str, int]:
        """Return the id of every token."""
        return dict(self._id_of_token)

    def tokenize(
        self, text: str, pair: str | None = None, add_special_tokens: bool = False, **_ignored: Any
    ) -> list[str]:
        """Return the tokens of a text."""
        return [self._vocabulary.tokens[number] for number in self._vocabulary.encode(text)]

    def _convert_token_to_id(self, token: str) -> int | None:
        return self._id_of_token.get(token, self._vocabulary.unknown)

    def _convert_id_to_token(self, index: int) -> str:
        return self._vocabulary.tokens[index]

    def convert_tokens_to_string(self, tokens: list[str]) -> str:
        """Return the text of tokens."""
        return self._vocabulary.decode([self._id_of_token[token] for token in tokens])

    def _decode(
        self,
        token_ids: int | list[int],
        skip_special_tokens: bool = False,
        clean_up_tokenization_spaces: bool | None = None,
        **_ignored: Any,
    ) -> str:
        ids = [token_ids] if isinstance(token_ids, int) else [int(number) for number in token_ids]
        if skip_special_tokens:
            return self._vocabulary.decode(ids)
        texts, start, end = [], 0, self._vocabulary.end_of_document
        for place, number in enumerate(ids):
            if number == end:
                texts += [self._vocabulary.decode(ids[start:place]), self._vocabulary.tokens[end]]
                start = place + 1
        return "".join([*texts, self._vocabulary.decode(ids[start:])])

    def save_vocabulary(
        self, save_directory: str, filename_prefix: str | None = None
    ) -> tuple[str, ...]:
        """Copy the tokenizer's file."""
        prefix, written = f"{filename_prefix}-" if filename_prefix else "", []
        for kind, source in self._files.items():
            if source is None or not Path(source).is_file():
                continue
            target = Path(save_directory) / f"{prefix}{self.vocab_files_names[kind]}"
            if Path(source).resolve() != target.resolve():
                shutil.copyfile(source, target)
            written.append(str(target))
        return tuple(written)
