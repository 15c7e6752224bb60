"""Opening a run with the plugins that it was trained with."""

from dataclasses import dataclass
from pathlib import Path

from switchhead_lab.config.names import is_entry_name
from switchhead_lab.config.plugins import Plugin, loaded_plugins, unload_plugin
from switchhead_lab.errors import RecordError
from switchhead_lab.export.plugin_files import load_exported_plugins
from switchhead_lab.tracking.file_names import CONFIG_FILE, IMPORT_FILE, PLUGINS_DIR
from switchhead_lab.tracking.record import RunRecord, find_run, read_run
from switchhead_lab.tracking.record_files import is_there


@dataclass(frozen=True)
class RecordedRun:
    """A run, opened with its own plugins.

    Attributes:
        record: The run.
        notes: Plugins that differ from the workspace's, one line each.
    """

    record: RunRecord
    notes: list[str]


def open_recorded(runs_dir: Path, reference: str, *, trusts_plugins: bool = False) -> RecordedRun:
    """Open a run; a plugin that has changed since is replaced by the copy that the run kept.

    The process keeps the copies until it ends.

    Args:
        runs_dir: Folder of all runs.
        reference: Name of the run, or the start of its hash.
        trusts_plugins: Whether to run copies of plugins that came with an imported run.

    Raises:
        RecordError: If no run or several match, its files are damaged, or its plugin would have to
            be trusted.
        ConfigError: If its configuration does not fit the schema, or a plugin cannot be loaded.
    """
    directory = find_run_directory(runs_dir, reference)
    notes = _use_kept_plugins(directory, trusts_plugins=trusts_plugins)
    return RecordedRun(read_run(directory), notes)


def find_run_directory(runs_dir: Path, reference: str) -> Path:
    """Return the directory of a run without reading its configuration, which may need a plugin.

    Raises:
        RecordError: If no run or several match.
    """
    if is_entry_name(reference):
        if is_there(runs_dir / reference / CONFIG_FILE):
            return runs_dir / reference
        found = [
            path
            for path in sorted(runs_dir.glob("*/"))
            if path.name.rpartition("-")[2].startswith(reference[:8])
            and is_there(path / CONFIG_FILE)
        ]
        if len(found) == 1 and len(reference) <= 8:
            return found[0]
    return find_run(runs_dir, reference).directory


def _use_kept_plugins(directory: Path, *, trusts_plugins: bool) -> list[str]:
    """Replace loaded plugins that differ from a run's copies; return one line for each."""
    folder = directory / PLUGINS_DIR
    kept = {path.name: path.read_bytes() for path in sorted(folder.glob("*.py"))}
    notes = []
    for plugin in loaded_plugins():
        if f"{plugin.module}.py" not in kept:
            continue
        changed = [name for name, source in plugin.sources.items() if kept.get(name) != source]
        if changed:
            notes.append(_replace(directory, plugin, changed, trusts_plugins=trusts_plugins))
    return notes


def _replace(directory: Path, plugin: Plugin, changed: list[str], *, trusts_plugins: bool) -> str:
    """Load the copy of a plugin that a run kept; return what was done."""
    names = ", ".join(sorted(changed))
    if not plugin.name.endswith(".py"):
        return (
            f'plugin "{plugin.name}": {names} changed since the run; it is an installed module, so '
            "the installed version is used"
        )
    if is_there(directory / IMPORT_FILE) and not trusts_plugins:
        raise RecordError(
            f"{directory / PLUGINS_DIR}: the run was imported, and its copy of {names} differs "
            "from that of lab.toml; running it runs foreign code; read it, then pass "
            "--trust-plugins"
        )
    unload_plugin(plugin)
    load_exported_plugins(directory, [f"{plugin.module}.py"])
    return f'plugin "{plugin.name}": {names} changed since the run; its recorded copy is used'
