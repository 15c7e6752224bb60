"""Plugins: user files or modules that register variants or objectives."""

import hashlib
import importlib
import importlib.util
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from switchhead_lab.config.schema import RunConfig
from switchhead_lab.errors import ConfigError, reason_of
from switchhead_lab.frozen_model import rebuild_schemas
from switchhead_lab.objectives.registry import objectives, unregister_objectives
from switchhead_lab.source_text import imported_names
from switchhead_lab.variants.contract import broken_class_promises
from switchhead_lab.variants.registry import all_variants, kind_of, unregister


@dataclass(frozen=True)
class Plugin:
    """A loaded plugin.

    Attributes:
        name: Name in lab.toml.
        module: Name of its module.
        sources: Contents of its file and of the files in the same folder that it imports, by the
            names of the copies that a run keeps.
        folder: Folder of its file.
    """

    name: str
    module: str
    sources: Mapping[str, bytes]
    folder: str = ""

    @property
    def source(self) -> bytes:
        """Contents of its file."""
        return self.sources[f"{self.module}.py"]

    @property
    def sha256(self) -> str:
        """Hash of its file."""
        return hashlib.sha256(self.source).hexdigest()


_loaded: dict[str, Plugin] = {}
# Attribute of modules imported from files, as opposed to installed ones.
_MARK = "__switchhead_lab_plugin__"


def load_plugins(
    names: Sequence[str], root: Path, settings_path: Path, *, checks: bool = True
) -> None:
    """Import the plugins of a workspace, which registers their variants and objectives.

    Runs the contract checks of their classes, which take milliseconds; `lab check-variant` also
    runs those that need torch.

    Args:
        names: Paths of Python files, absolute or relative to `root`, or names of modules.
        root: The workspace folder.
        settings_path: File that lists them, for errors.
        checks: Whether to reject variants whose classes break the contract.

    Raises:
        ConfigError: If one cannot be imported, registers nothing or an invalid class, or breaks
            the contract.
    """
    n_loaded = 0
    for name in names:
        try:
            n_loaded += _load(name, root)
            if checks:
                _require_contract(_module_name(name))
        except ConfigError as error:
            raise ConfigError(f'{settings_path}: plugins: "{name}": {error}') from None
    if n_loaded:
        rebuild_schemas()


def plugins_of(config: RunConfig) -> list[Plugin]:
    """Return the plugins that the variants and the objective of a run come from."""
    parts = (config.model.attention, config.model.feedforward, config.objective)
    modules = {type(part).__module__ for part in parts}
    return [plugin for plugin in _loaded.values() if plugin.module in modules]


def loaded_plugins() -> list[Plugin]:
    """Return all plugins of this process."""
    return list(_loaded.values())


def unload_plugin(plugin: Plugin) -> None:
    """Forget a plugin and the files of its folder that it imports, so that copies can be loaded."""
    _unload(plugin.module)
    folder = Path(plugin.folder)
    for file_name in plugin.sources:
        module = sys.modules.get(file_name.removesuffix(".py"))
        if module is not None and Path(module.__file__ or "").is_relative_to(folder):
            del sys.modules[module.__name__]


def _load(name: str, root: Path) -> bool:
    """Import a plugin; return False if it is loaded already and unchanged."""
    path = root / name if name.endswith(".py") else None
    module_name = _module_name(name)
    if module_name in _loaded:
        if path is None or _read(path) == _loaded[module_name].source:
            return False
        _unload(module_name)
    if path is not None:
        _require_free_name(path)
    try:
        module = importlib.import_module(name) if path is None else _import_file(path)
        registered = [*all_variants(), *objectives().values()]
        if not any(schema.__module__ == module_name for schema in registered):
            raise ConfigError(
                "registers no variant and no objective; decorate one with "
                "switchhead_lab.variants.registry.register or "
                "switchhead_lab.objectives.registry.register_objective"
            )
    except ConfigError:
        _unload(module_name)
        raise
    except Exception as error:  # user code may raise anything
        _unload(module_name)
        raise ConfigError(f"cannot be imported: {_describe(error, path)}") from None
    folder = str(Path(module.__file__ or "").parent)
    _loaded[module_name] = Plugin(name, module_name, _sources_of(module), folder)
    return True


def _sources_of(module: ModuleType) -> dict[str, bytes]:
    """Return the files of a plugin: its own, and those of its folder that it imports."""
    own = Path(module.__file__ or "")
    folder, source = own.parent, _read(own)
    found = {f"{module.__name__}.py": source}
    waiting = imported_names(source, module.__package__ or "")
    while waiting:
        name = waiting.pop()
        path = Path(getattr(sys.modules.get(name), "__file__", None) or "")
        if f"{name}.py" in found or path.suffix != ".py" or not path.is_relative_to(folder):
            continue
        source = found[f"{name}.py"] = _read(path)
        waiting += imported_names(source, sys.modules[name].__package__ or "")
    return found


def _module_name(name: str) -> str:
    return Path(name).stem if name.endswith(".py") else name


def _require_contract(module_name: str) -> None:
    """Reject and unload a plugin with a variant whose class breaks the contract."""
    for variant in all_variants():
        if variant.__module__ != module_name:
            continue
        try:
            broken = list(broken_class_promises(variant))
        except ConfigError as error:
            broken = [str(error)]
        if broken:
            _unload(module_name)
            kind = kind_of(variant)
            raise ConfigError(
                f"{variant.__name__} breaks the contract of variants: {'; '.join(broken)}; fix it, "
                f"and see all checks with `lab check-variant {kind}`"
            )


def _require_free_name(path: Path) -> None:
    """Reject a missing file, or one whose module would shadow another."""
    _read(path)
    if not path.stem.isidentifier() or _is_of_another(path.stem, path):
        raise ConfigError(
            f'"{path.stem}" is not a valid module name, or another module has it; rename the file'
        )


def _is_of_another(name: str, path: Path) -> bool:
    """Return whether a module name is taken, except by this file in an importable folder."""
    spec = importlib.util.find_spec(name)
    return spec is not None and os.path.realpath(spec.origin or "") != os.path.realpath(path)


def _import_file(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None, "a path that ends in .py has a loader"
    assert spec.loader is not None, "a path that ends in .py has a loader"
    module = importlib.util.module_from_spec(spec)
    setattr(module, _MARK, True)
    sys.modules[path.stem] = module  # so that `module = "name:Class"` resolves
    spec.loader.exec_module(module)
    return module


def _unload(module_name: str) -> None:
    """Undo the import of a plugin that failed or whose file has changed."""
    _loaded.pop(module_name, None)
    unregister(module_name)
    unregister_objectives(module_name)
    if hasattr(sys.modules.get(module_name), _MARK):  # keep installed modules
        del sys.modules[module_name]


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {reason_of(error)}") from None


def _describe(error: Exception, path: Path | None) -> str:
    """Format an error, with the line of the plugin that raised it if known."""
    lines = []
    traceback = error.__traceback__
    while traceback is not None:
        if path is not None and Path(traceback.tb_frame.f_code.co_filename) == path:
            lines.append(traceback.tb_lineno)
        traceback = traceback.tb_next
    line = getattr(error, "lineno", None) or (lines[-1] if lines else None)
    where = f"line {line}: " if line is not None else ""
    return f"{where}{type(error).__name__}: {error}"
