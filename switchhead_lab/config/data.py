"""The schema of data: tokenised text, or generated examples."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from switchhead_lab.config.names import CorpusName
from switchhead_lab.frozen_model import FrozenModel
from switchhead_lab.variants.registry import OneOf, kind_of


class SentencePieceTokenizer(FrozenModel):
    """SentencePiece unigram model trained on the training split, with byte fallback."""

    kind: Literal["sentencepiece"] = "sentencepiece"
    vocab_size: int = Field(default=2048, ge=300, le=65_535)
    """Number of pieces, 256 byte pieces included."""


class ByteTokenizer(FrozenModel):
    """One token per UTF-8 byte; byte 0, which text cannot hold, ends a document."""

    kind: Literal["byte"] = "byte"

    @property
    def vocab_size(self) -> int:
        """Size of the vocabulary: every byte value."""
        return 256


class CharTokenizer(FrozenModel):
    """One token per character: the most frequent of the training split; others are unknown."""

    kind: Literal["char"] = "char"
    vocab_size: int = Field(default=256, ge=3, le=65_535)
    """Number of tokens, including two reserved ones: unknown character and end of document."""


TokenizerConfig = Annotated[
    SentencePieceTokenizer | ByteTokenizer | CharTokenizer, Field(discriminator="kind")
]


class TextData(FrozenModel):
    """A text corpus and its tokenizer."""

    kind: Literal["text"] = Field(default="text", exclude_if=lambda _: True)
    """Default kind; never written, which keeps older identities."""
    corpus: CorpusName = "sotu"
    """Name of a corpus (`lab data list`): lower-case letters, digits and underscores."""
    tokenizer: TokenizerConfig = SentencePieceTokenizer()
    """Tokenizer, trained on the training split only."""
    max_train_tokens: int = Field(default=0, ge=0, exclude_if=lambda limit: limit == 0)
    """Number of leading tokens of the training split to use, 0 for all; the paper uses the first
    steps * T * batch_size of C4 and peS2o. Omitted if 0, which keeps older identities."""

    @model_validator(mode="after")
    def _corpus_is_text(self) -> Self:
        if self.corpus in example_kinds():
            raise ValueError(
                f'corpus="{self.corpus}" is the name of labelled examples, not of a text; use '
                f'data.kind="{self.corpus}", or another name for a text'
            )
        return self

    @property
    def vocab_size(self) -> int:
        """Number of distinct tokens."""
        return self.tokenizer.vocab_size

    @property
    def n_classes(self) -> None:
        """None: text has no classes."""

    @property
    def example_length(self) -> None:
        """None: text has no examples."""

    def describe(self) -> str:
        """Return a short description."""
        return (
            f"Corpus {self.corpus}, {self.tokenizer.kind} tokenizer with {self.vocab_size:,} tokens"
        )


class ExampleData(FrozenModel):
    """Labelled examples in three splits; subclasses add a literal `kind` and their own fields.

    Class attributes:
        title: Display name.
        module: Module that generates the examples, with `generate_splits(data)`, which returns them
            by split, and `render_example(tokens, data)`, which formats one as text.
        packages: Packages whose versions affect the examples.
    """

    title: ClassVar[str]
    module: ClassVar[str]
    packages: ClassVar[tuple[str, ...]] = ()

    kind: str
    n_train: int = Field(ge=1)
    """Examples to train on."""
    n_validation: int = Field(ge=1)
    """Examples to validate on."""
    n_test: int = Field(ge=1)
    """Examples to test on."""

    @property
    def corpus(self) -> str:
        """Name of the examples in paths and run names."""
        return self.kind

    @property
    def n_examples(self) -> int:
        """Examples of all splits."""
        return self.n_train + self.n_validation + self.n_test

    def split_sizes(self) -> dict[Literal["train", "validation", "test"], int]:
        """Return the number of examples of each split."""
        return {"train": self.n_train, "validation": self.n_validation, "test": self.n_test}

    @property
    @abstractmethod
    def vocab_size(self) -> int:
        """Number of distinct tokens, padding included."""

    @property
    @abstractmethod
    def n_classes(self) -> int:
        """Number of classes."""

    @property
    @abstractmethod
    def example_length(self) -> int:
        """Maximum tokens of an example; the model's `seq_len` must be at least this."""

    @abstractmethod
    def describe(self) -> str:
        """Return a short description."""

    def token_meaning(self) -> dict[str, Any]:
        """Return the fields that define what tokens mean, for the digest of the examples."""
        return {}


Operator = Literal["MIN", "MAX", "MED", "SM"]


class ListOpsData(ExampleData):
    """Generated ListOps examples: nested lists of digits under operators; the value is the class.

    All splits are drawn from one distribution, and no example is in two splits.

    Source: ListOps (Nangia and Bowman, arXiv:1804.06028), the task of SwitchHead
    (arXiv:2312.07987), Sec. 4.
    """

    title: ClassVar[str] = "ListOps"
    module: ClassVar[str] = "switchhead_lab.data.listops"

    kind: Literal["listops"]
    operators: list[Operator] = Field(default=["MIN", "MAX", "MED", "SM"], min_length=1)
    """Operators to nest: minimum, maximum, median (rounded down), sum modulo 10."""
    max_depth: int = Field(default=5, ge=1, le=20)
    """Maximum nesting of operators; every example has at least one."""
    max_arguments: int = Field(default=5, ge=2, le=20)
    """Maximum arguments of an operator; the minimum is two."""
    min_length: int = Field(default=4, ge=4)
    """Minimum tokens of an example; an operator with two digits has four."""
    max_length: int = Field(default=50, ge=4, le=4096)
    """Maximum tokens of an example; the model's `seq_len` must be at least this."""
    n_train: int = Field(default=50_000, ge=1)
    """Examples to train on."""
    n_validation: int = Field(default=1000, ge=1)
    """Examples to validate on."""
    n_test: int = Field(default=1000, ge=1)
    """Examples to test on."""
    seed: int = Field(default=0, ge=0, lt=2**31)
    """Seed of the examples, which are the same for every run of a sweep."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if len(set(self.operators)) < len(self.operators):
            raise ValueError(f"operators={self.operators} has duplicates; list each once")
        if self.min_length > self.max_length:
            raise ValueError(
                f"min_length={self.min_length} but max_length={self.max_length}; "
                f"use a min_length in 4..{self.max_length}"
            )
        if self.shortest(self.max_depth) > self.max_length:
            raise ValueError(
                f"max_depth={self.max_depth} needs {self.shortest(self.max_depth)} tokens but "
                f"max_length={self.max_length}; use a max_depth in 1..{(self.max_length - 1) // 3} "
                f"or a max_length of at least {self.shortest(self.max_depth)}"
            )
        if self.longest(self.max_depth) < self.min_length:
            raise ValueError(
                f"min_length={self.min_length} but max_depth={self.max_depth} with max_arguments="
                f"{self.max_arguments} gives at most {self.longest(self.max_depth)} tokens; "
                f"use a min_length in 4..{self.longest(self.max_depth)} or raise one of the two"
            )
        return self

    def shortest(self, depth: int) -> int:
        """Return the minimum tokens of an expression of a depth, ignoring the length limits."""
        return 1 + 3 * depth

    def longest(self, depth: int) -> int:
        """Return the maximum tokens of an expression of a depth, ignoring the length limits."""
        return 1 if depth == 0 else 2 + self.max_arguments * self.longest(depth - 1)

    @property
    def vocab_size(self) -> int:
        """Number of distinct tokens: padding, ten digits, the closing bracket, the operators."""
        return 12 + len(self.operators)

    @property
    def n_classes(self) -> int:
        """Values that an expression can have: the ten digits."""
        return 10

    @property
    def example_length(self) -> int:
        """Maximum tokens of an example."""
        return self.max_length

    def token_meaning(self) -> dict[str, Any]:
        """Return the operators, whose tokens follow their order."""
        return {"operators": self.operators}

    def describe(self) -> str:
        """Return a short description."""
        return (
            f"ListOps, {self.n_train:,} training examples of {self.min_length} to "
            f"{self.max_length} tokens, depth up to {self.max_depth}, operators "
            f"{' '.join(self.operators)}"
        )


_N_DIGIT_IMAGES = 1797


class DigitsData(ExampleData):
    """scikit-learn's handwritten digits: 8x8 pixels, one token each; ten classes.

    No image is in two splits; the seed decides which split, if any, an image is in.
    """

    title: ClassVar[str] = "digits"
    module: ClassVar[str] = "switchhead_lab.data.digits"
    packages: ClassVar[tuple[str, ...]] = ("scikit-learn",)

    kind: Literal["digits"]
    n_train: int = Field(default=1200, ge=1)
    """Images to train on."""
    n_validation: int = Field(default=297, ge=1)
    """Images to validate on."""
    n_test: int = Field(default=300, ge=1)
    """Images to test on."""
    seed: int = Field(default=0, ge=0, lt=2**31)
    """Seed of the split, which is the same for every run of a sweep."""

    @model_validator(mode="after")
    def _enough_images(self) -> Self:
        if self.n_examples > _N_DIGIT_IMAGES:
            raise ValueError(
                f"n_train={self.n_train}, n_validation={self.n_validation} and n_test="
                f"{self.n_test} are {self.n_examples} images, but only {_N_DIGIT_IMAGES} exist; "
                "use fewer"
            )
        return self

    @property
    def vocab_size(self) -> int:
        """Number of distinct tokens: padding, 17 grey values."""
        return 18

    @property
    def n_classes(self) -> int:
        """The ten digits."""
        return 10

    @property
    def example_length(self) -> int:
        """Pixels of an image."""
        return 64

    def describe(self) -> str:
        """Return a short description."""
        return f"Handwritten digits, {self.n_train:,} training images of 8x8 pixels"


_EXAMPLES: dict[str, type[ExampleData]] = {
    kind_of(schema): schema for schema in (ListOpsData, DigitsData)
}


def example_kinds() -> Mapping[str, type[ExampleData]]:
    """Return the classes of labelled examples by kind."""
    return _EXAMPLES


ExampleConfig = Annotated[ExampleData, OneOf(example_kinds)]
DataConfig = Annotated[
    TextData | ExampleData, OneOf(lambda: {"text": TextData, **_EXAMPLES}, default="text")
]
