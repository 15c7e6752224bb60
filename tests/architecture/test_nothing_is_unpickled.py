"""No source file calls what could run code from a data file."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted([*ROOT.glob("switchhead_lab/**/*.py"), *ROOT.glob("kernels/**/*.py")])
# Modules whose files run code when they are loaded.
MODULES = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
MODULES |= {"pickletools", "jsonpickle", "yaml"}
# Functions that do, by the last part of their name, unless an argument says otherwise.
CALLS = {"read_pickle", "to_pickle", "unsafe_load", "load_module", "eval", "exec"}
SAFE_ARGUMENT = {"weights_only": True, "allow_pickle": False}


def unsafe(source: str) -> list[str]:
    """Return what in a source file could run code from a data file."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if alias.name.split(".")[0] in MODULES]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in MODULES:
            found.append(str(node.module))
        elif isinstance(node, ast.Call):
            found += _unsafe_call(node)
    return found


def _unsafe_call(node: ast.Call) -> list[str]:
    name = ast.unparse(node.func)
    given = {key.arg: ast.literal_eval(key.value) for key in node.keywords if _is_constant(key)}
    if given.get("allow_pickle") is True or given.get("trust_remote_code") is True:
        return [name]
    if name in ("torch.load", "torch.jit.load", "torch.hub.load", "torch.package.PackageImporter"):
        return [] if given.get("weights_only") is True else [name]
    if name in ("np.load", "numpy.load"):
        return [] if given.get("allow_pickle") is False else [name]
    is_method = isinstance(node.func, ast.Attribute)
    last = name.rpartition(".")[2]
    return [name] if last in CALLS and not (is_method and last in ("eval", "exec")) else []


def _is_constant(key: ast.keyword) -> bool:
    return key.arg is not None and isinstance(key.value, ast.Constant)


def test_no_source_file_loads_what_could_run_code() -> None:
    assert len(FILES) > 300
    found = {path.relative_to(ROOT): unsafe(path.read_text(encoding="utf-8")) for path in FILES}
    assert {str(name): calls for name, calls in found.items() if calls} == {}


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from pickle import loads",
        "import torch; torch.load(path)",
        "import torch; torch.load(path, weights_only=False)",
        "import numpy as np; np.load(path)",
        "import numpy as np; np.load(path, allow_pickle=True)",
        "import pandas; pandas.read_pickle(path)",
        "eval(text)",
        "exec(text)",
        "import yaml; yaml.safe_load(text)",
        "from_pretrained(path, trust_remote_code=True)",
    ],
)
def test_the_scan_finds_what_it_should(source: str) -> None:
    assert unsafe(source)


def test_the_scan_allows_what_is_safe() -> None:
    assert unsafe("import torch; torch.load(path, weights_only=True); model.eval()") == []
