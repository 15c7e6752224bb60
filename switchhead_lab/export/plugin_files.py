"""The plugins of an export: which files it needs, and loading them from there."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from switchhead_lab.config.plugins import load_plugins, plugins_of
from switchhead_lab.errors import RecordError
from switchhead_lab.export.file_names import MANIFEST_FILE
from switchhead_lab.tracking.file_names import PLUGINS_DIR
from switchhead_lab.tracking.record import RunRecord


def plugin_files(record: RunRecord) -> tuple[list[str], dict[str, bytes]]:
    """Return the plugins that a run needs, and the files that its directory keeps of them.

    Returns:
        Names of the plugins' files, and the contents of all files by name.

    Raises:
        RecordError: If the directory lacks a plugin, or a plugin is a module of a package.
    """
    plugins = plugins_of(record.config)
    if not plugins:
        return [], {}
    folder = record.directory / PLUGINS_DIR
    files = {path.name: path.read_bytes() for path in sorted(folder.glob("*.py"))}
    names = sorted(f"{plugin.module}.py" for plugin in plugins)
    for name in names:
        module = name.removesuffix(".py")
        if not module.isidentifier():
            raise RecordError(
                f"{record.name}: its plugin {module} is a module of a package, which an export "
                "cannot hold; move the variant to a file of its own, name that in `plugins` of "
                "lab.toml and train again"
            )
        if name not in files:
            raise RecordError(
                f"{folder / name}: missing; copy the plugin that the run was trained with there"
            )
    return names, files


def load_exported_plugins(folder: Path, names: Sequence[str]) -> None:
    """Import the plugins of an export, whose hashes were checked.

    Raises:
        ConfigError: If one cannot be imported or breaks the contract of variants.
    """
    root = folder / PLUGINS_DIR
    with _importing_from(root):
        load_plugins(names, root, folder / MANIFEST_FILE)


@contextmanager
def _importing_from(folder: Path) -> Iterator[None]:
    """Find the modules that plugins import there first, and leave no compiled files behind."""
    writes_none = sys.dont_write_bytecode
    sys.path.insert(0, str(folder))
    sys.dont_write_bytecode = True
    try:
        yield
    finally:
        sys.dont_write_bytecode = writes_none
        sys.path.remove(str(folder))
