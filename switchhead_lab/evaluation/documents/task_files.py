"""Files of published tasks: where they are, their lines, and errors that name them."""

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from switchhead_lab.data.file_errors import printable, reading
from switchhead_lab.errors import DataError
from switchhead_lab.evaluation.documents.task_documents import TaskDocument

FETCH = "fetch the published file again"
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class TaskFile:
    """A text file of a published task.

    Attributes:
        path: Path of the file.
        lines: Its lines, without line ends.
        sha256: SHA-256 of its bytes.
    """

    path: Path
    lines: tuple[str, ...]
    sha256: str

    @property
    def source(self) -> str:
        """The path as valid Unicode."""
        return printable(str(self.path))

    def error(self, number: int, found: str, expected: str, remedy: str = FETCH) -> DataError:
        """Return the error for one line.

        Args:
            number: Number of the line, from 1.
            found: What is wrong with it.
            expected: What the format requires.
            remedy: What to do.
        """
        return DataError(f"{self.source}: line {number}: {found}; expected {expected}; {remedy}")


def find_task_file(
    data_root: Path, folders: Sequence[str], names: Sequence[str], task: str
) -> Path:
    """Return the first of some files that exists in a data root.

    Args:
        data_root: Folder given by the user.
        folders: Folders within it, searched in this order; "." is the data root.
        names: File names, searched in this order within each folder.
        task: Name of the task in errors.

    Raises:
        DataError: If the data root is not a folder or holds none of the files.
    """
    require_data_root(data_root, task)
    for folder in folders:
        for name in names:
            path = data_root / folder / name
            with reading(path):
                if path.is_file():
                    return path
    raise DataError(
        f"{printable(str(data_root))}: no file of {task}; looked for {' or '.join(names)} in the "
        f"folder and in {', '.join(folder for folder in folders if folder != '.')}; put the "
        "published file there or give another --data-root"
    )


def require_data_root(data_root: Path, task: str) -> None:
    """Check that the data root is a folder.

    Raises:
        DataError: If it is not.
    """
    with reading(data_root):
        exists, is_folder = data_root.exists(), data_root.is_dir()
    if not is_folder:
        found = "not a folder" if exists else "no such folder"
        raise DataError(
            f"{printable(str(data_root))}: {found}; give the folder that holds the published files "
            f"of {task} as --data-root"
        )


def read_task_file(path: Path) -> TaskFile:
    r"""Read a UTF-8 text file; lines end in `\n` or `\r\n`.

    Raises:
        DataError: If the file cannot be read, is empty or is not UTF-8.
    """
    with reading(path):
        contents = path.read_bytes()
    shown = printable(str(path))
    if not contents:
        raise DataError(f"{shown}: empty; {FETCH}")
    try:
        text = contents.decode("utf-8")
    except UnicodeDecodeError as error:
        number = contents.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{shown}: line {number}: byte {error.start + 1} of the file is not UTF-8; expected "
            f"UTF-8 text; {FETCH}"
        ) from None
    # Not splitlines, which also divides at other characters, such as U+2028.
    lines = text.removesuffix("\n").split("\n")
    return TaskFile(
        path,
        tuple(line.removesuffix("\r") for line in lines),
        hashlib.sha256(contents).hexdigest(),
    )


def require_lines(file: TaskFile, n_lines: int) -> None:
    """Check the number of lines.

    Raises:
        DataError: If it is another.
    """
    if len(file.lines) != n_lines:
        raise DataError(f"{file.source}: {len(file.lines)} lines; expected {n_lines}; {FETCH}")


def read_objects(file: TaskFile, fields: Sequence[str]) -> Iterator[TaskDocument]:
    """Yield the JSON object of each line, in which some fields are non-empty strings.

    Raises:
        DataError: If a line is not a JSON object, or one of the fields is missing or unusable.
    """
    named = f"the string {'fields' if len(fields) > 1 else 'field'} {', '.join(fields)}"
    expected = f"a JSON object with {named}"
    for number, line in enumerate(file.lines, start=1):
        try:
            record = json.loads(line)
        # RecursionError: thousands of nested brackets.
        except (ValueError, RecursionError) as error:
            reason = (
                f" ({error.msg} at character {error.colno})"
                if isinstance(error, json.JSONDecodeError)
                else ""
            )
            found = f"not JSON{reason}" if line.strip() else "empty"
            raise file.error(number, found, expected) from None
        if not isinstance(record, dict):
            raise file.error(number, f"a JSON {type(record).__name__}", expected)
        for field in fields:
            _require_text(file, number, record, field, expected)
        yield record


def _require_text(
    file: TaskFile, number: int, record: TaskDocument, field: str, expected: str
) -> None:
    if field not in record:
        shown = ", ".join(ascii(key)[1:-1] for key in record) or "none"
        raise file.error(number, f'no field "{field}" (fields: {shown})', expected)
    text = record[field]
    if not isinstance(text, str):
        raise file.error(number, f'field "{field}" is a {type(text).__name__}', expected)
    if not text.strip():
        raise file.error(number, f'field "{field}" is empty', expected)
    # JSON can escape half of a surrogate pair, which no tokenizer can encode.
    if _SURROGATE.search(text):
        raise file.error(number, f'field "{field}" holds half of a surrogate pair', expected)
