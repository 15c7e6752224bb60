"""The state of a checkout: its commit and the uncommitted changes to source files.

The diff applies to a fresh clone with `git apply`, regardless of the user's git configuration.
"""

import os
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

# Files that a run's computation depends on, relative to the project's folder. Sweep files and
# settings are excluded: a run records its resolved configuration.
SOURCE_PATHS = ("switchhead_lab", "kernels", "pyproject.toml", "constraints.txt")
MAX_LISTED = 500
MAX_NEW_FILE_BYTES = 1 << 20
MAX_NEW_BYTES = 16 << 20
GIT_TIMEOUT_SECONDS = 10.0
# Changed files pass through filters, which is slow for large ones.
DIFF_TIMEOUT_SECONDS = 60.0

# In a git hook, the first variables override -C with the hook's repository; the others alter diffs.
_DROPPED_VARIABLES = (
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_PREFIX",
    "GIT_DIFF_OPTS",
    "GIT_EXTERNAL_DIFF",
    "GIT_LITERAL_PATHSPECS",
    "GIT_GLOB_PATHSPECS",
    "GIT_NOGLOB_PATHSPECS",
    "GIT_ICASE_PATHSPECS",
)
_OPTIONS = (
    "--literal-pathspecs",
    *("-c", "core.fsmonitor=false"),
    *("-c", f"core.hooksPath={os.devnull}"),
    # Compare bytes as on disk. Untouched files are not read, so checkouts with converted line
    # endings stay clean.
    *("-c", "core.autocrlf=false"),
    *("-c", "core.safecrlf=false"),
    *("-c", "diff.suppressBlankEmpty=false"),
    *("-c", "diff.interHunkContext=0"),
)
_DIFF = (
    "diff",
    "--binary",
    "--full-index",
    "--unified=3",
    "--src-prefix=a/",
    "--dst-prefix=b/",
    "--submodule=short",
    "--no-relative",
    "--no-renames",
    "--no-color",
    # The output of external diff drivers cannot be applied.
    "--no-ext-diff",
    "--no-textconv",
    f"-O{os.devnull}",  # ignore the user's file order
    "HEAD",
)


class _GitError(Exception):
    """Git is missing, fails or times out."""


def read_git_state(
    folder: Path, source_paths: Sequence[str] = SOURCE_PATHS
) -> tuple[dict[str, Any], bytes]:
    """Return facts about the checkout around a folder, and the diff of its source files.

    Args:
        folder: Folder of the project.
        source_paths: Files and folders in it whose changes make it dirty.

    Returns:
        Plain data: `commit`; `branch`; `dirty`, whether source files differ from the commit, new
        ones included; `source_paths`; `changed` and `untracked`, at most 500 names each;
        `n_changed` and `n_untracked`; `left_out`, new source files too large for the diff; and
        `reason` if git failed, in which case unknown values are None or missing. Then the diff, as
        bytes; empty for a clean tree.
    """
    state: dict[str, Any] = {"commit": None}
    try:
        return state, _read(folder, source_paths, state)
    except (_GitError, OSError) as error:
        state["reason"] = str(error)
        return state, b""


def _read(folder: Path, source_paths: Sequence[str], state: dict[str, Any]) -> bytes:
    """Fill in the state until git fails, and return the diff."""
    top = Path(os.fsdecode(_git(folder, "rev-parse", "--show-toplevel").removesuffix(b"\n")))
    if not _git(folder, "ls-files", "-z", "--", "."):
        # For example, a package installed inside another project's checkout.
        raise _GitError(f"{top} has a git repository, but it does not track {folder}")
    state["commit"] = _git(top, "rev-parse", "--verify", "HEAD").decode().strip()
    state["branch"], state["dirty"] = None, None
    state["source_paths"] = list(source_paths)
    branch = _git(top, "rev-parse", "--abbrev-ref", "HEAD").decode(errors="replace").strip()
    state["branch"] = None if branch == "HEAD" else branch
    prefix = folder.resolve().relative_to(top.resolve())
    sources = [str(prefix / path) for path in source_paths]
    changed = _names(_git(top, *_DIFF, "--name-only", "-z"))
    untracked = _names(_git(top, "ls-files", "--others", "--exclude-standard", "-z"))
    new = [name for name in untracked if _is_below(name, sources)]
    state["dirty"] = bool(new) or any(_is_below(name, sources) for name in changed)
    for key, names in (("changed", changed), ("untracked", untracked)):
        state[f"n_{key}"] = len(names)
        state[key] = [_printable(name) for name in names[:MAX_LISTED]]
    kept = _small_enough(top, new)
    state["left_out"] = [_printable(name) for name in new if name not in kept]
    return _diff(top, sources, kept) if state["dirty"] else b""


def _diff(top: Path, sources: Sequence[str], new: Sequence[str]) -> bytes:
    """Return the diff of the sources, new files included, without writing to the repository."""
    if not new:
        return _git(top, *_DIFF, "--", *sources, timeout=DIFF_TIMEOUT_SECONDS)
    index, objects = (
        top / os.fsdecode(_git(top, "rev-parse", "--git-path", name).removesuffix(b"\n"))
        for name in ("index", "objects")
    )
    with tempfile.TemporaryDirectory() as scratch:
        # Keep the timestamps: git compares them with those of files to find changed ones.
        copy = Path(scratch) / "index"
        copy.write_bytes(index.read_bytes())
        times = index.stat()
        os.utime(copy, ns=(times.st_atime_ns, times.st_mtime_ns))
        variables = {
            "GIT_INDEX_FILE": str(copy),
            "GIT_OBJECT_DIRECTORY": scratch,
            "GIT_ALTERNATE_OBJECT_DIRECTORIES": _quoted(objects),
        }
        names = b"\0".join(os.fsencode(name) for name in new)
        from_input = ("--pathspec-from-file=-", "--pathspec-file-nul")
        _git(top, "add", "--intent-to-add", *from_input, stdin=names, variables=variables)
        timeout = DIFF_TIMEOUT_SECONDS
        return _git(top, *_DIFF, "--", *sources, variables=variables, timeout=timeout)


def _small_enough(top: Path, names: Sequence[str]) -> list[str]:
    """Return the new files that go into the diff: small, no links, no nested repositories."""
    kept, total = [], 0
    for name in names:
        path = top / name
        if not path.is_file() or path.is_symlink():
            continue
        size = path.stat().st_size
        if size <= MAX_NEW_FILE_BYTES and total + size <= MAX_NEW_BYTES:
            kept.append(name)
            total += size
    return kept


def _git(
    folder: Path,
    *arguments: str,
    stdin: bytes = b"",
    variables: dict[str, str] | None = None,
    timeout: float | None = None,
) -> bytes:
    """Run git without prompts, hooks, locks or monitors, so that it neither hangs nor writes."""
    timeout = GIT_TIMEOUT_SECONDS if timeout is None else timeout
    kept = {name: value for name, value in os.environ.items() if name not in _DROPPED_VARIABLES}
    environment = {
        **kept,
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_PAGER": "cat",
        "LC_ALL": "C",
        **(variables or {}),
    }
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *_OPTIONS, *arguments],
            input=stdin,
            capture_output=True,
            env=environment,
            timeout=timeout,
            check=False,
        )
    except FileNotFoundError:
        raise _GitError("git is not installed") from None
    except subprocess.TimeoutExpired:
        raise _GitError(f"git {arguments[0]} took longer than {timeout:g} s") from None
    except OSError as error:
        raise _GitError(f"git cannot be run: {error.strerror}") from None
    if done.returncode != 0:
        message = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise _GitError(message[0] if message else f"git {arguments[0]} failed")
    return done.stdout


def _names(listing: bytes) -> list[str]:
    return [os.fsdecode(name) for name in listing.split(b"\0") if name]


def _is_below(name: str, paths: Sequence[str]) -> bool:
    return any(name == path or name.startswith(f"{path}/") for path in paths)


def _printable(name: str) -> str:
    """Return a name valid in JSON: bytes that are not UTF-8 become escapes."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _quoted(path: Path) -> str:
    """Quote a path for git's list of alternate object folders."""
    return '"' + str(path).replace("\\", "\\\\").replace('"', '\\"') + '"'
