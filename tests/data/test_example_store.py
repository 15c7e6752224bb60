import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from two_processes import reports_of_two

from switchhead_lab.config.data import ListOpsData
from switchhead_lab.data import example_store
from switchhead_lab.data.dataset import open_dataset
from switchhead_lab.data.documents import SPLITS
from switchhead_lab.data.example_store import (
    ExampleStore,
    find_examples,
    list_example_stores,
    prepare_examples,
)
from switchhead_lab.data.listops import generate_splits
from switchhead_lab.errors import DataError, StorageError

DATA = ListOpsData(kind="listops", n_train=60, n_validation=12, n_test=11)
GENERATING = "preparing 83 ListOps examples"


@pytest.fixture
def store(data_dir: Path) -> ExampleStore:
    return prepare_examples(data_dir, DATA)


def test_files_hold_the_examples_padded_with_0(store: ExampleStore):
    for split, expected in generate_splits(DATA).items():
        found = store.examples(split)
        assert len(found) == len(expected)
        assert found.tokens.shape == (len(expected), 50)
        assert found.tokens.dtype == found.labels.dtype == np.uint8
        assert found.labels.tolist() == [example.value for example in expected]
        for row, example in zip(found.tokens, expected, strict=True):
            n_tokens = len(example.tokens)
            assert bytes(row[:n_tokens]) == example.tokens
            assert not row[n_tokens:].any()
    store.verify()


def test_files_are_read_only(store: ExampleStore):
    examples = store.examples("test")
    for array in (examples.tokens, examples.labels):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1


def test_manifest_follows_its_definitions(store: ExampleStore):
    manifest = store.manifest
    assert manifest.data == DATA
    train = Counter(store.examples("train").labels.tolist())
    assert manifest.train_class_counts == [train[value] for value in range(10)]
    assert train[manifest.majority_class] == max(train.values())
    for split in SPLITS:
        examples, part = store.examples(split), manifest.splits[split]
        assert part.n_examples == len(examples)
        assert part.n_tokens == np.count_nonzero(examples.tokens)
        assert part.mean_length == part.n_tokens / part.n_examples
        guessed = np.full(len(examples), manifest.majority_class)
        assert part.majority_fraction == pytest.approx((examples.labels == guessed).mean())
    described = store.describe()
    assert described["digest"] == store.digest
    assert described["data"]["max_depth"] == 5
    assert described["splits"]["test"]["n_examples"] == 11


def test_examples_have_no_text_bytes(store: ExampleStore):
    assert store.n_bytes("test") is None


def test_any_dataset_is_opened_the_same_way(data_dir: Path):
    stages: list[str] = []
    opened = open_dataset(data_dir, DATA, progress=stages.append)
    assert opened == find_examples(data_dir, DATA)
    assert stages == [GENERATING]
    train = opened.training_batches(20, 50, seed=0)
    seen = [tuple(row) for step in range(3) for row in train.at(step).inputs_BT.tolist()]
    assert len(set(seen)) == 60
    batches = list(opened.evaluation_batches("validation", 5, 50))
    assert [len(batch.targets) for batch in batches] == [5, 5, 2]
    read = np.concatenate([batch.inputs_BT for batch in batches])
    assert np.array_equal(read, opened.examples("validation").tokens)
    with pytest.raises(DataError, match="batch_size=61"):
        opened.training_batches(61, 50, seed=0)


def test_second_preparation_does_nothing(
    store: ExampleStore, data_dir: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(example_store, "_fill", None)
    stages: list[str] = []
    assert prepare_examples(data_dir, DATA, progress=stages.append) == store
    assert stages == []


def test_digest_depends_on_contents_only(store: ExampleStore, tmp_path: Path):
    later = store.manifest.model_copy(update={"created_at": "later", "versions": {}})
    assert ExampleStore(tmp_path, later).digest == store.digest
    other = prepare_examples(tmp_path, DATA.model_copy(update={"seed": 1}))
    assert other.digest != store.digest


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("field", ["tokens_sha256", "labels_sha256"])
def test_digest_covers_every_file(store: ExampleStore, split, field: str):
    part = store.manifest.splits[split].model_copy(update={field: "0" * 64})
    manifest = store.manifest.model_copy(update={"splits": store.manifest.splits | {split: part}})
    assert ExampleStore(store.path, manifest).digest != store.digest


def test_digest_covers_what_tokens_mean(store: ExampleStore):
    data = DATA.model_copy(update={"operators": ["MAX", "MIN", "MED", "SM"]})
    manifest = store.manifest.model_copy(update={"data": data})
    assert ExampleStore(store.path, manifest).digest != store.digest


def test_another_process_has_the_same_digest(store: ExampleStore, tmp_path: Path):
    program = (
        "from pathlib import Path\n"
        "from switchhead_lab.config.data import ListOpsData\n"
        "from switchhead_lab.data.example_store import prepare_examples\n"
        "data = ListOpsData(kind='listops', n_train=60, n_validation=12, n_test=11)\n"
        f"print(prepare_examples(Path({str(tmp_path / 'other')!r}), data).digest)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONHASHSEED": "7"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == store.digest


def test_stores_of_different_configurations_coexist(store: ExampleStore, data_dir: Path):
    other = prepare_examples(data_dir, DATA.model_copy(update={"n_test": 12}))
    assert other.path != store.path
    assert find_examples(data_dir, DATA) == store
    assert {found.path for found in list_example_stores(data_dir)} == {store.path, other.path}
    assert find_examples(data_dir, DATA.model_copy(update={"n_test": 13})) is None


def test_a_store_of_another_configuration_is_not_found(store: ExampleStore, data_dir: Path):
    """For example, a folder that was renamed by hand."""
    other = DATA.model_copy(update={"seed": 1})
    store.path.rename(store.path.with_name(example_store.store_name(other)))
    assert find_examples(data_dir, other) is None
    assert prepare_examples(data_dir, other).manifest.data == other


@pytest.mark.parametrize(
    "name", [f"{split}-{kind}.bin" for split in SPLITS for kind in ("tokens", "labels")]
)
def test_verify_names_the_file_that_differs(store: ExampleStore, data_dir: Path, name: str):
    path = store.path / name
    contents = bytearray(path.read_bytes())
    contents[0] ^= 1
    path.write_bytes(contents)
    assert find_examples(data_dir, DATA) is not None
    with pytest.raises(DataError, match=rf"{name}: SHA-256 is .*manifest\.json records"):
        store.verify()
    path.unlink()
    with pytest.raises(DataError, match=rf"{name}: missing"):
        store.verify()


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("manifest.json", b"{"),
        ("manifest.json", None),
        ("train-tokens.bin", b"short"),
        ("test-labels.bin", b"short"),
        ("validation-labels.bin", None),
    ],
)
def test_incomplete_store_is_not_found_and_is_rebuilt(
    store: ExampleStore, data_dir: Path, name: str, damage: bytes | None
):
    path = store.path / name
    if damage is None:
        path.unlink()
    else:
        path.write_bytes(damage)
    assert find_examples(data_dir, DATA) is None
    assert list_example_stores(data_dir) == []
    assert prepare_examples(data_dir, DATA).digest == store.digest
    prepare_examples(data_dir, DATA).verify()


def test_a_store_of_another_generator_version_is_not_found(store: ExampleStore, data_dir: Path):
    path = store.path / "manifest.json"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace('"generator_version": 1', '"generator_version": 0'), "utf-8")
    assert find_examples(data_dir, DATA) is None


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_interrupted_preparation_leaves_nothing(data_dir: Path, monkeypatch, error):
    def fail(folder, *_):
        assert (folder / "test-labels.bin").exists()
        raise error

    monkeypatch.setattr(example_store, "_describe_split", fail)
    expected = StorageError if isinstance(error, OSError) else KeyboardInterrupt
    with pytest.raises(expected):
        prepare_examples(data_dir, DATA)
    assert {path.name for path in (data_dir / "listops").iterdir()} <= {".lock"}
    assert find_examples(data_dir, DATA) is None


def test_leftovers_of_a_killed_preparation_are_removed(data_dir: Path):
    stale = data_dir / "listops" / ".abc.0123abcd.tmp"
    stale.mkdir(parents=True)
    (stale / "train-tokens.bin").write_bytes(b"half")
    prepare_examples(data_dir, DATA)
    assert not stale.exists()


def test_too_few_distinct_examples_leave_no_store(data_dir: Path):
    data = DATA.model_copy(update={"max_depth": 1, "max_length": 4, "n_train": 400})
    with pytest.raises(DataError, match="only 400 were found"):
        prepare_examples(data_dir, data)
    assert list_example_stores(data_dir) == []


@pytest.mark.processes
def test_two_processes_prepare_once(data_dir: Path):
    assert reports_of_two(prepare_examples, data_dir, DATA) == [GENERATING]
    prepare_examples(data_dir, DATA).verify()
