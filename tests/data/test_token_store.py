import math
from pathlib import Path

import numpy as np
import pytest
from two_processes import reports_of_two

from switchhead_lab.config.data import (
    ByteTokenizer,
    CharTokenizer,
    SentencePieceTokenizer,
    TextData,
)
from switchhead_lab.data import token_store
from switchhead_lab.data.corpora import find_corpus
from switchhead_lab.data.documents import SPLITS
from switchhead_lab.data.token_store import (
    find_store,
    list_stores,
    prepare,
    register,
)
from switchhead_lab.errors import DataError, StorageError, WorkspaceError

BYTES = TextData(corpus="letters", tokenizer=ByteTokenizer())
CONFIGS = [
    BYTES,
    TextData(corpus="letters", tokenizer=CharTokenizer(vocab_size=64)),
    TextData(corpus="letters", tokenizer=SentencePieceTokenizer(vocab_size=320)),
]


@pytest.fixture
def registered(data_dir: Path, folder: Path) -> Path:
    register(data_dir, folder, "letters")
    return data_dir


@pytest.mark.parametrize("data", CONFIGS, ids=lambda data: data.tokenizer.kind)
def test_tokens_are_the_documents_each_with_its_end(registered: Path, data: TextData):
    prepare(registered, data)
    store = find_store(registered, data)
    corpus = find_corpus(registered, "letters").read()
    tokenizer = store.tokenizer()
    for split in SPLITS:
        tokens = store.tokens(split)
        ends = np.flatnonzero(tokens == tokenizer.end_of_document)
        starts = [0, *(ends[:-1] + 1)]
        texts = [tokenizer.decode(tokens[a:b]) for a, b in zip(starts, ends, strict=True)]
        assert texts == ["".join(document.blocks()) for document in corpus.splits[split]]
        part = store.manifest.splits[split]
        assert part.n_tokens == len(tokens) == ends[-1] + 1
        assert part.n_documents == len(texts)
        assert part.n_bytes == sum(len(text.encode()) for text in texts)
    store.verify()


def test_the_tokenizer_is_trained_on_the_training_split_only(data_dir: Path, tmp_path: Path):
    """A character of held-out texts alone is unknown, however frequent it is there."""
    source = tmp_path / "split"
    source.mkdir()
    letters = {"train": "abc", "validation": "abz", "test": "aby"}
    for split, own in letters.items():
        (source / f"{split}.txt").write_text(f"{own} {own}\n" * 300, encoding="utf-8")
    register(data_dir, source, "split")
    data = TextData(corpus="split", tokenizer=CharTokenizer(vocab_size=16))
    tokenizer = prepare(data_dir, data).tokenizer()
    unknown = {letter for letter in "abcyz" if tokenizer.encode(letter)[0] == tokenizer.unknown}
    assert unknown == {"y", "z"}


def test_tokens_are_read_only_little_endian_16_bit(registered: Path):
    store = prepare(registered, BYTES)
    tokens = store.tokens("test")
    assert isinstance(tokens, np.memmap)
    assert tokens.dtype == np.dtype("<u2")
    with pytest.raises(ValueError, match="read-only"):
        tokens[0] = 1
    raw = (store.path / "test.bin").read_bytes()
    assert raw[0] + 256 * raw[1] == tokens[0]


def test_unigram_perplexity_follows_its_definition(registered: Path):
    store = prepare(registered, BYTES)
    train = store.tokens("train").tolist()
    for split, given in store.manifest.unigram_perplexity.model_dump().items():
        nll = [
            -math.log((train.count(token) + 1) / (len(train) + 256))
            for token in store.tokens(split).tolist()
        ]
        assert given == pytest.approx(math.exp(sum(nll) / len(nll)))


def test_second_preparation_does_nothing(registered: Path, monkeypatch: pytest.MonkeyPatch):
    stages: list[str] = []
    first = prepare(registered, BYTES, progress=stages.append)
    assert stages[0] == "reading letters"
    monkeypatch.setattr(token_store, "_fill", None)
    assert prepare(registered, BYTES, progress=stages.append) == first
    assert stages.count("reading letters") == 1


def test_prepared_tokens_outlive_their_source(registered: Path, folder: Path):
    prepare(registered, BYTES)
    (folder / "letter-00.txt").write_text("Another text.\n", encoding="utf-8")
    assert prepare(registered, BYTES) == find_store(registered, BYTES)
    with pytest.raises(DataError, match="has changed"):
        prepare(registered, CONFIGS[1])


def test_digest_depends_on_contents_only(registered: Path, folder: Path, tmp_path: Path):
    store = prepare(registered, BYTES)
    elsewhere = tmp_path / "elsewhere"
    register(elsewhere, folder, "letters")
    copy = prepare(elsewhere, BYTES)
    later = copy.manifest.model_copy(update={"created_at": "later", "versions": {}})
    assert token_store.TokenStore(copy.path, later).digest == store.digest
    assert prepare(registered, CONFIGS[1]).digest != store.digest
    register(elsewhere, folder / "deep" / ".." / "letter-00.txt", "letters", replace=True)
    assert prepare(elsewhere, BYTES).digest != store.digest


@pytest.mark.parametrize("field", ["source_sha256", "tokenizer_sha256", "splits"])
def test_digest_covers_source_tokenizer_and_tokens(registered: Path, field: str):
    store = prepare(registered, BYTES)
    other = "0" * 64
    if field == "splits":
        part = store.manifest.splits["test"].model_copy(update={"sha256": other})
        other = store.manifest.splits | {"test": part}
    changed = store.manifest.model_copy(update={field: other})
    assert token_store.TokenStore(store.path, changed).digest != store.digest


def test_an_unprepared_store_is_not_found_and_an_unknown_corpus_is_an_error(registered: Path):
    assert find_store(registered, BYTES) is None
    with pytest.raises(DataError, match=r"did you mean"):
        find_store(registered, TextData(corpus="leters"))


def test_verify_names_the_file_that_differs(registered: Path):
    store = prepare(registered, BYTES)
    path = store.path / "validation.bin"
    contents = bytearray(path.read_bytes())
    contents[0] ^= 1
    path.write_bytes(contents)
    assert find_store(registered, BYTES) is not None
    with pytest.raises(DataError, match=r"validation\.bin: SHA-256 is .*manifest\.json records"):
        store.verify()
    path.unlink()
    with pytest.raises(DataError, match=r"validation\.bin: missing"):
        store.verify()


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("manifest.json", b"{"),
        ("train.bin", b"short"),
        ("manifest.json", None),
        ("tokenizer.json", None),
    ],
)
def test_incomplete_store_is_not_found_and_is_rebuilt(registered: Path, name, damage):
    store = prepare(registered, BYTES)
    path = store.path / name
    if damage is None:
        path.unlink()
    else:
        path.write_bytes(damage)
    assert find_store(registered, BYTES) is None
    assert list_stores(registered, "letters") == []
    assert prepare(registered, BYTES).digest == store.digest
    prepare(registered, BYTES).verify()


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_interrupted_preparation_leaves_nothing(registered: Path, monkeypatch, error):
    def fail(path, documents, tokenizer, **options):
        raise error

    monkeypatch.setattr(token_store, "write_tokens", fail)
    expected = StorageError if isinstance(error, OSError) else KeyboardInterrupt
    with pytest.raises(expected):
        prepare(registered, BYTES)
    left = {path.name for path in (registered / "letters").iterdir()}
    assert left <= {"corpus.json", ".lock"}
    assert find_store(registered, BYTES) is None


def test_leftovers_of_a_killed_preparation_are_removed(registered: Path):
    stale = registered / "letters" / ".byte.0123abcd.tmp"
    stale.mkdir()
    (stale / "train.bin").write_bytes(b"half")
    prepare(registered, BYTES)
    assert not stale.exists()


@pytest.mark.processes
def test_two_processes_prepare_once(registered: Path):
    reports = reports_of_two(prepare, registered, BYTES)
    assert len(reports) == 5
    assert reports.count("reading letters") == 1
    prepare(registered, BYTES).verify()


def test_unwritable_data_folder_is_a_workspace_error(tmp_path: Path, text_file: Path):
    blocked = tmp_path / "file"
    blocked.write_text("", encoding="utf-8")
    with pytest.raises(WorkspaceError, match="cannot be created"):
        register(blocked / "data", text_file, "notes")


def test_registering_the_same_text_again_keeps_its_tokens(registered: Path, folder: Path):
    store = prepare(registered, BYTES)
    register(registered, folder, "letters", replace=True)
    assert find_store(registered, BYTES) == store
    moved = folder.rename(folder.parent / "moved")
    entry = register(registered, moved, "letters")
    assert entry.source_path == str(moved)
    assert find_corpus(registered, "letters").read().source_sha256 == entry.source_sha256
    assert find_store(registered, BYTES) == store


def test_another_text_needs_replace_which_drops_tokens(registered: Path, text_file: Path):
    old = prepare(registered, BYTES)
    with pytest.raises(DataError, match=r"already registered.*add --replace"):
        register(registered, text_file, "letters")
    assert find_store(registered, BYTES) == old
    register(registered, text_file, "letters", replace=True)
    assert not old.path.exists()
    assert prepare(registered, BYTES).manifest.source_sha256 != old.manifest.source_sha256


def test_replace_repairs_a_damaged_registration(registered: Path, folder: Path):
    (registered / "letters" / "corpus.json").write_text("{", encoding="utf-8")
    with pytest.raises(DataError, match="damaged"):
        register(registered, folder, "letters")
    register(registered, folder, "letters", replace=True)
    assert find_corpus(registered, "letters").read().n_documents == 12


def test_tokens_of_another_source_are_not_found(registered: Path, text_file: Path):
    prepare(registered, BYTES)
    entry = register(registered.parent / "other", text_file, "letters")
    token_store.write_entry(registered, entry)
    assert find_store(registered, BYTES) is None


def test_errors_name_an_unsuitable_corpus(registered: Path):
    large = SentencePieceTokenizer(vocab_size=30_000)
    with pytest.raises(DataError, match=r'^corpus "letters": the training text is too small'):
        prepare(registered, TextData(corpus="letters", tokenizer=large))


@pytest.mark.slow
def test_sotu_at_the_default_size(data_dir: Path):
    store = prepare(data_dir, TextData())
    tokenizer = store.tokenizer()
    part = store.manifest.splits["validation"]
    assert 3 < part.n_bytes / part.n_tokens < 5
    text = tokenizer.decode(store.tokens("validation"))
    documents = find_corpus(data_dir, "sotu").read().splits["validation"]
    assert text == "".join(document.text for document in documents)


def test_limit_is_part_of_the_identity_only_where_given():
    from switchhead_lab.config.identity import identity

    limited = BYTES.model_copy(update={"max_train_tokens": 10})
    assert identity(limited) != identity(BYTES)
    assert "max_train_tokens" not in BYTES.model_dump(mode="json")
    assert TextData.model_validate(limited.model_dump()) == limited


def test_stores_of_different_limits_coexist(registered: Path):
    whole = prepare(registered, BYTES)
    limited = prepare(registered, BYTES.model_copy(update={"max_train_tokens": 100}))
    assert (whole.path.name, limited.path.name) == ("byte", "byte-first-100")
    assert len(limited.tokens("train")) == 100
    assert limited.manifest.splits["test"] == whole.manifest.splits["test"]
    assert list_stores(registered, "letters") == [whole, limited]
    other = BYTES.model_copy(update={"max_train_tokens": 101})
    assert find_store(registered, other) is None
