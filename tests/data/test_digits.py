from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from switchhead_lab.config.data import DigitsData, TextData
from switchhead_lab.data.digits import FIRST_GREY, generate_splits, render_example
from switchhead_lab.data.documents import SPLITS
from switchhead_lab.data.example_store import list_example_stores, prepare_examples

WHOLE = DigitsData(kind="digits")


def test_every_image_is_in_one_split_as_64_grey_values() -> None:
    splits = generate_splits(WHOLE)
    assert {split: len(splits[split]) for split in SPLITS} == WHOLE.split_sizes()
    images = [example.tokens for split in SPLITS for example in splits[split]]
    assert len(set(images)) == 1797
    assert {len(image) for image in images} == {WHOLE.example_length} == {64}
    assert set(b"".join(images)) == set(range(FIRST_GREY, WHOLE.vocab_size))
    digits = Counter(example.value for split in SPLITS for example in splits[split])
    assert sorted(digits) == list(range(WHOLE.n_classes))


def test_the_split_depends_on_the_seed_only() -> None:
    assert generate_splits(WHOLE) == generate_splits(WHOLE)
    other = generate_splits(DigitsData(kind="digits", seed=1))
    assert other["test"] != generate_splits(WHOLE)["test"]
    # Recorded: the split must not change with versions of Python or a library.
    assert [example.value for example in generate_splits(WHOLE)["train"][:8]] == [
        3,
        9,
        4,
        6,
        5,
        0,
        3,
        3,
    ]


def test_an_image_is_drawn_row_by_row() -> None:
    tokens = [FIRST_GREY + 16] * 8 + [FIRST_GREY] * 48 + [FIRST_GREY + 8] * 8
    drawn = render_example(tokens, WHOLE).split("\n")[1:]
    assert [row.strip() for row in drawn] == ["@" * 8, *[""] * 6, "=" * 8]


def test_the_manifest_records_package_versions(data_dir: Path) -> None:
    data = DigitsData(kind="digits", n_train=30, n_validation=4, n_test=5)
    store = prepare_examples(data_dir, data)
    assert store.path.parent == data_dir / "digits"
    assert set(store.manifest.versions) == {"python", "switchhead_lab", "scikit-learn"}
    batch = store.training_batches(10, 64, seed=0).at(0)
    assert batch.inputs_BT.shape == (10, 64)
    assert np.count_nonzero(batch.inputs_BT) == 640  # no padding
    assert [other.path for other in list_example_stores(data_dir)] == [store.path]


def test_more_images_than_exist_are_rejected() -> None:
    with pytest.raises(ValidationError, match="are 2597 images, but only 1797 exist; use fewer"):
        DigitsData(kind="digits", n_train=2000)


def test_a_text_corpus_cannot_be_named_digits() -> None:
    with pytest.raises(ValidationError, match='corpus="digits" is the name of labelled examples'):
        TextData(corpus="digits")
