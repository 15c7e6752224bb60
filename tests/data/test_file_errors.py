import errno
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from switchhead_lab.cli import app
from switchhead_lab.config.data import ByteTokenizer, ListOpsData, TextData
from switchhead_lab.data.corpora import find_corpus, inspect_source
from switchhead_lab.data.documents import Document
from switchhead_lab.data.encoding import write_tokens
from switchhead_lab.data.example_store import find_examples, prepare_examples
from switchhead_lab.data.file_errors import reading
from switchhead_lab.data.jsonl import BadLines
from switchhead_lab.data.published import read_local
from switchhead_lab.data.store_files import locked
from switchhead_lab.data.token_store import find_store, list_stores, prepare, register
from switchhead_lab.data.tokenisation import Utf8Bytes
from switchhead_lab.errors import DataError, LabError, WorkspaceError

BYTES = TextData(corpus="notes", tokenizer=ByteTokenizer())
EXAMPLES = ListOpsData(kind="listops", n_train=30, n_validation=4, n_test=5)
FULL = Path("/dev/full")

needs_full = pytest.mark.skipif(not FULL.exists(), reason="no /dev/full")


@pytest.fixture
def fill_disk(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Make writes to files of a given name fail as on a full disk."""
    opened = Path.open

    def fill(name: str) -> None:
        def open_full(path: Path, mode: str = "r", *arguments, **options):
            is_full = name in path.name and "w" in mode
            return opened(FULL if is_full else path, mode, *arguments, **options)

        monkeypatch.setattr(Path, "open", open_full)

    return fill


def files_in(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@needs_full
@pytest.mark.parametrize("name", ["tokenizer.json", "train.bin", "test.bin", "manifest.json"])
def test_a_full_disk_leaves_nothing_of_a_preparation(
    data_dir: Path, text_file: Path, fill_disk, name: str
):
    register(data_dir, text_file, "notes")
    fill_disk(name)
    with pytest.raises(
        LabError, match=rf"{name}: cannot be written: No space left on device.* bytes.*needed.*free"
    ):
        prepare(data_dir, BYTES)
    assert files_in(data_dir) == {"notes/corpus.json", "notes/.lock"}
    assert find_store(data_dir, BYTES) is None


@needs_full
def test_a_full_disk_leaves_no_registration(data_dir: Path, text_file: Path, fill_disk):
    fill_disk("corpus.json")
    with pytest.raises(LabError, match=r"notes/corpus\.json: cannot be written: No space left"):
        register(data_dir, text_file, "notes")
    assert files_in(data_dir) == {"notes/.lock"}


@needs_full
@pytest.mark.parametrize("name", ["train-tokens.bin", "test-labels.bin", "manifest.json"])
def test_a_full_disk_leaves_nothing_of_examples(data_dir: Path, fill_disk, name: str):
    fill_disk(name)
    with pytest.raises(
        LabError, match=rf"{name}: cannot be written: No space left on device.* bytes.*needed"
    ):
        prepare_examples(data_dir, EXAMPLES)
    assert files_in(data_dir) == {"listops/.lock"}


@needs_full
def test_a_full_disk_error_says_how_many_bytes_tokens_need():
    documents = [Document("a", "abc"), Document("b", "de")]
    with pytest.raises(LabError, match=r"/dev/full: .*; more than 14 bytes needed, "):
        write_tokens(FULL, documents, Utf8Bytes())
    with pytest.raises(LabError, match=r"/dev/full: .*; 10 bytes needed, "):
        write_tokens(FULL, documents, Utf8Bytes(), max_tokens=5)


@needs_full
def test_lab_exits_with_2_on_a_full_disk(
    tmp_path: Path, text_file: Path, fill_disk, monkeypatch, capsys
):
    (tmp_path / "lab.toml").write_text("", encoding="utf-8")
    monkeypatch.setenv("LAB_HOME", str(tmp_path))
    monkeypatch.setattr(app.interruption, "install", lambda: None)
    command = ["lab", "data", "prepare", str(text_file), "--name", "notes", "--tokenizer", "byte"]
    monkeypatch.setattr(sys, "argv", command)
    fill_disk("train.bin")
    with pytest.raises(SystemExit) as ended:
        app.main()
    assert ended.value.code == 2
    errors = capsys.readouterr().err
    assert "error: " in errors
    assert "No space left on device" in errors
    assert "Traceback" not in errors


def unusable_paths(folder: Path) -> dict[str, Path]:
    (folder / "cycle").symlink_to(folder / "cycle")
    return {
        "name too long": folder / ("x" * 300),
        "path too long": Path("/".join([str(folder), *["x" * 200] * 30])),
        "link cycle": folder / "cycle",
        "unknown home": Path("~no_such_user/x"),
        "NUL": folder / "a\0b",
        "below a file": folder / "notes.txt" / "below",
        "not UTF-8": folder / os.fsdecode(b"caf\xe9.txt"),
    }


@pytest.mark.parametrize(
    "kind",
    [
        "name too long",
        "path too long",
        "link cycle",
        "unknown home",
        "NUL",
        "below a file",
        "not UTF-8",
    ],
)
def test_unusable_paths_are_one_data_error(text_file: Path, kind: str):
    path = unusable_paths(text_file.parent)[kind]
    if kind == "not UTF-8":
        path.write_text("a\n" * 100, encoding="utf-8")
    with pytest.raises(DataError) as caught:
        inspect_source(path, "notes")
    str(caught.value).encode("utf-8")


@pytest.mark.parametrize("name", ["notes.txt", "a.jsonl", "deep/wiki.train.tokens", "enwik8"])
@pytest.mark.parametrize("code", [errno.EACCES, errno.EIO, errno.ESTALE])
def test_unreadable_sources_are_one_data_error(tmp_path: Path, monkeypatch, name: str, code: int):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text('{"text": "a"}\n' * 100, encoding="utf-8")
    for other in ("wiki.valid.tokens", "wiki.test.tokens"):
        (path.parent / other).write_text("a\n", encoding="utf-8")
    opened = Path.open

    def refuse(self: Path, *arguments, **options):
        if self == path:
            raise OSError(code, os.strerror(code), str(self))
        return opened(self, *arguments, **options)

    monkeypatch.setattr(Path, "open", refuse)
    corpus = {"enwik8": "enwik8", "deep/wiki.train.tokens": "wikitext103"}.get(name, "mine")
    source = path.parent if corpus == "wikitext103" else path
    with pytest.raises(DataError, match=rf"{path.name}: cannot be read.*{os.strerror(code)}"):
        read_local(corpus, source, BadLines())


def test_a_failure_names_the_file_within_a_folder_in_one_line(tmp_path: Path):
    with pytest.raises(DataError) as caught, reading(tmp_path):
        (tmp_path / "gone").stat()
    assert str(caught.value) == (
        f"{tmp_path}/gone: cannot be read: No such file or directory; "
        "check the path, its permissions and the disk"
    )


@pytest.mark.parametrize("name", ["train.bin", "tokenizer.json", "manifest.json"])
def test_a_folder_instead_of_a_prepared_file_is_one_data_error(
    data_dir: Path, text_file: Path, name: str
):
    register(data_dir, text_file, "notes")
    store = prepare(data_dir, BYTES)
    (store.path / name).unlink()
    (store.path / name).mkdir()
    if name == "manifest.json":
        for read in (lambda: find_store(data_dir, BYTES), lambda: list_stores(data_dir, "notes")):
            with pytest.raises(DataError, match=r"manifest\.json: cannot be read: Is a directory"):
                read()
    with pytest.raises(DataError, match="cannot be read|bytes, but"):
        store.verify() if name != "manifest.json" else prepare(data_dir, BYTES)


@pytest.mark.parametrize("damage", ["missing", "cut", "longer"])
def test_token_and_example_files_are_checked_when_they_are_mapped(
    data_dir: Path, text_file: Path, damage: str
):
    register(data_dir, text_file, "notes")
    tokens, examples = prepare(data_dir, BYTES), prepare_examples(data_dir, EXAMPLES)
    for path in (tokens.path / "train.bin", examples.path / "train-labels.bin"):
        contents = path.read_bytes()
        path.unlink()
        if damage != "missing":
            path.write_bytes(contents[:-2] if damage == "cut" else contents + b"\0\0")
    expected = "No such file" if damage == "missing" else "manifest.json records"
    with pytest.raises(DataError, match=rf"train\.bin: .*{expected}.*`lab data prepare` again"):
        tokens.tokens("train")
    with pytest.raises(DataError, match=rf"train-labels\.bin: .*{expected}"):
        examples.examples("train")
    assert find_store(data_dir, BYTES) is None
    assert find_examples(data_dir, EXAMPLES) is None


def test_progress_names_a_store_that_is_rebuilt(data_dir: Path, text_file: Path):
    register(data_dir, text_file, "notes")
    store = prepare(data_dir, BYTES)
    (store.path / "train.bin").write_bytes(b"cut")
    stages: list[str] = []
    assert prepare(data_dir, BYTES, progress=stages.append).digest == store.digest
    assert stages[0] == f"{store.path} is incomplete or outdated; preparing it again"


def test_a_registration_that_cannot_be_read_is_one_data_error(data_dir: Path):
    (data_dir / "notes" / "corpus.json").mkdir(parents=True)
    with pytest.raises(DataError, match=r"corpus\.json: cannot be read: Is a directory"):
        find_corpus(data_dir, "notes")


def test_a_lock_that_cannot_be_taken_is_a_workspace_error(tmp_path: Path):
    (tmp_path / ".lock").mkdir()
    with (
        pytest.raises(WorkspaceError, match=r"\.lock: cannot be written: Is a directory; make "),
        locked(tmp_path),
    ):
        pytest.fail("locked")
