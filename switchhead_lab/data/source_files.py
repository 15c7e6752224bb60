"""The files of a user's folder: texts, JSON lines and ignored entries."""

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from switchhead_lab.data.file_errors import printable, reading
from switchhead_lab.errors import DataError

TEXT_SUFFIXES = (".txt", ".md", ".text")
LINE_SUFFIXES = (".jsonl", ".ndjson", ".jl", ".json")
_MAX_NAMES = 4


def ends_in(*suffixes: str) -> re.Pattern[str]:
    """Return a pattern for names with one of the suffixes, plain or compressed, in any case."""
    return re.compile(rf"({'|'.join(map(re.escape, suffixes))})(\.gz|\.zst)?$", re.IGNORECASE)


TEXT = ends_in(*TEXT_SUFFIXES)
LINES = ends_in(*LINE_SUFFIXES)


@dataclass(frozen=True)
class SourceFolder:
    """The files below a folder, in order of their paths.

    Attributes:
        path: The folder.
        texts: Visible text files.
        lines: Visible JSONL files.
        ignored: Names of the ignored entries, by reason.
    """

    path: Path
    texts: list[Path] = field(default_factory=list)
    lines: list[Path] = field(default_factory=list)
    ignored: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def name_of(self, file: Path) -> str:
        """Return the path of a file within the folder."""
        return printable(file.relative_to(self.path).as_posix())

    def at_root(self, files: Iterable[Path]) -> list[Path]:
        """Return the files directly in the folder."""
        return [file for file in files if file.parent == self.path]

    def origin(self, files: Iterable[Path]) -> str:
        """Return the path of the folder with the names of files in it, for errors."""
        return f"{self.path}/{name_some(map(self.name_of, files))}"

    def remarks(self, used: Iterable[Path], reason: str) -> list[str]:
        """Describe the ignored files, one line per reason.

        Args:
            used: Files that the corpus is read from.
            reason: Why the other text and JSONL files are ignored.
        """
        kept = set(used)
        unused = [self.name_of(file) for file in (*self.texts, *self.lines) if file not in kept]
        reasons = {**self.ignored, **({reason: unused} if unused else {})}
        return [f"ignored ({why}): {name_some(names)}" for why, names in reasons.items()]


def list_folder(path: Path) -> SourceFolder:
    """List the files below a folder.

    Raises:
        DataError: If a folder cannot be listed, or a text or JSONL file is a dangling link.
    """
    folder = SourceFolder(path)
    with reading(path):
        for file in _visible_files(folder):
            is_text = TEXT.search(file.name)
            if not is_text and not LINES.search(file.name):
                suffixes = ", ".join((*TEXT_SUFFIXES, *LINE_SUFFIXES))
                reason = f"unsupported suffix; supported: {suffixes}, each also .gz or .zst"
                folder.ignored[reason].append(folder.name_of(file))
            elif file.is_file():
                (folder.texts if is_text else folder.lines).append(file)
            elif file.exists():
                folder.ignored["not a regular file"].append(folder.name_of(file))
            else:
                raise DataError(f"{file}: a dangling link; remove or fix it")
    for files in (folder.texts, folder.lines):
        files.sort(key=lambda file: file.relative_to(path).as_posix())
    return folder


def name_some(names: Iterable[str]) -> str:
    """Join the first few names and the number of the others."""
    ordered = sorted(names)
    more = f" and {len(ordered) - _MAX_NAMES:,} more" if len(ordered) > _MAX_NAMES else ""
    return f"{', '.join(ordered[:_MAX_NAMES])}{more}"


def missing_split(folder: Path, split: str, expected: str) -> DataError:
    """Return the error for a folder that lacks the files of a split.

    Args:
        folder: The folder.
        split: The missing split.
        expected: Names of files that would do.
    """
    with reading(folder):
        found = name_some(printable(path.name) for path in folder.iterdir())
    return DataError(
        f"{folder}: no file for the {split} split; found {found or 'nothing'}, expected {expected}"
    )


def _visible_files(folder: SourceFolder) -> Iterator[Path]:
    """Yield visible files below a folder; record hidden entries and folder links as ignored."""

    def fail(error: OSError) -> None:
        raise error

    # Path.rglob would silently skip folders that cannot be listed.
    for parent, subfolders, files in os.walk(folder.path, onerror=fail):
        for name in list(subfolders):
            path = Path(parent, name)
            is_hidden = name.startswith(".")
            if is_hidden or path.is_symlink():
                reason = "hidden" if is_hidden else "a link to a folder"
                folder.ignored[reason].append(f"{folder.name_of(path)}/")
                subfolders.remove(name)
        for name in files:
            path = Path(parent, name)
            if name.startswith("."):
                folder.ignored["hidden"].append(folder.name_of(path))
            else:
                yield path
