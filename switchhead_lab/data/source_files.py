"""The files of a user's folder: which hold texts, which JSON lines, and which are left out."""

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
TEXT = re.compile(r"\.(txt|md|text)(\.gz|\.zst)?$", re.IGNORECASE)
LINES = re.compile(r"\.(jsonl|ndjson|jl|json)(\.gz|\.zst)?$", re.IGNORECASE)

# JSON lines for certain; .json alone may be anything, such as metadata beside texts.
_CERTAIN_LINES = re.compile(r"\.(jsonl|ndjson|jl)(\.gz|\.zst)?$", re.IGNORECASE)
_TRAIN_LINES = re.compile(r"(c4-)?train[.\-_]", re.IGNORECASE)
_DOCUMENTATION = re.compile(
    r"(readme|licen[cs]e|copying|notice|authors|change(log|s)|citation|contributing|dataset_?card)"
    r"(?![a-z])",
    re.IGNORECASE,
)
_MOST_NAMES = 4


@dataclass(frozen=True)
class SourceFolder:
    """The files below a folder, in order of their paths.

    Attributes:
        path: The folder.
        texts: Visible text files.
        lines: Visible JSONL files.
        left_out: Names of what else is there, by the reason to leave it out.
    """

    path: Path
    texts: list[Path] = field(default_factory=list)
    lines: list[Path] = field(default_factory=list)
    left_out: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def name_of(self, file: Path) -> str:
        """Return the path of a file within the folder."""
        return printable(file.relative_to(self.path).as_posix())

    def at_root(self, files: Iterable[Path]) -> list[Path]:
        """Return those files that are in the folder itself."""
        return [file for file in files if file.parent == self.path]

    def remarks(self, used: Iterable[Path], reason: str) -> list[str]:
        """Say what is left out and why, a line for each reason.

        Args:
            used: Files that the corpus is read from.
            reason: Why the other text and JSONL files are left out.
        """
        kept = set(used)
        unused = [self.name_of(file) for file in (*self.texts, *self.lines) if file not in kept]
        reasons = {**self.left_out, **({reason: unused} if unused else {})}
        return [f"left out ({why}): {name_some(names)}" for why, names in reasons.items()]


def list_folder(path: Path) -> SourceFolder:
    """List the files below a folder.

    Raises:
        DataError: If a folder cannot be listed, or a text or JSONL file is a link to nothing.
    """
    folder = SourceFolder(path)
    with reading(path):
        for file in _visible_files(folder):
            is_text = TEXT.search(file.name)
            if not is_text and not LINES.search(file.name):
                suffixes = ", ".join((*TEXT_SUFFIXES, *LINE_SUFFIXES))
                reason = f"neither text nor JSONL by suffix: {suffixes}, each also .gz or .zst"
                folder.left_out[reason].append(folder.name_of(file))
            elif file.is_file():
                (folder.texts if is_text else folder.lines).append(file)
            elif file.exists():
                folder.left_out["not a regular file"].append(folder.name_of(file))
            else:
                raise DataError(f"{file}: a link to nothing; remove or mend it")
    for files in (folder.texts, folder.lines):
        files.sort(key=lambda file: file.relative_to(path).as_posix())
    return folder


def consists_of_json_lines(folder: SourceFolder) -> bool:
    """Return whether a folder is a corpus of JSON lines rather than of texts.

    It is one if it holds a file train*.jsonl (or .json, .ndjson, .jl, plain or compressed), or
    other such files and no texts but documentation (README, LICENSE and the like).

    Raises:
        DataError: If it could be either.
    """
    if any(_TRAIN_LINES.match(file.name) for file in folder.at_root(folder.lines)):
        return True
    certain = [file for file in folder.lines if _CERTAIN_LINES.search(file.name)]
    texts = [file for file in folder.texts if not _DOCUMENTATION.match(file.name)]
    if certain and texts:
        raise DataError(
            f"{folder.path}: holds both JSONL ({name_some(map(folder.name_of, certain))}) and "
            f"texts ({name_some(map(folder.name_of, texts))}); prepare them as two corpora, or "
            "move one kind out of the folder"
        )
    return bool(certain) or (bool(folder.lines) and not folder.texts)


def name_some(names: Iterable[str]) -> str:
    """Return the first few of several names, and how many more there are."""
    ordered = sorted(names)
    more = f" and {len(ordered) - _MOST_NAMES:,} more" if len(ordered) > _MOST_NAMES else ""
    return f"{', '.join(ordered[:_MOST_NAMES])}{more}"


def _visible_files(folder: SourceFolder) -> Iterator[Path]:
    """Yield the files below a folder; note what is hidden and links to folders as left out."""

    def fail(error: OSError) -> None:
        raise error

    # Path.rglob would pass over folders that cannot be listed in silence.
    for parent, subfolders, files in os.walk(folder.path, onerror=fail):
        for name in list(subfolders):
            path = Path(parent, name)
            is_hidden = name.startswith(".")
            if is_hidden or path.is_symlink():
                reason = "hidden" if is_hidden else "a link to a folder"
                folder.left_out[reason].append(f"{folder.name_of(path)}/")
                subfolders.remove(name)
        for name in files:
            path = Path(parent, name)
            if name.startswith("."):
                folder.left_out["hidden"].append(folder.name_of(path))
            else:
                yield path
