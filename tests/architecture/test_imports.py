"""Who may import whom, which tool has one importer, how long files are."""

import ast
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted([*ROOT.glob("switchhead_lab/**/*.py"), *ROOT.glob("kernels/**/*.py")])

# What each package may import of the others, besides those below and itself.
ALLOWED: dict[str, set[str]] = {
    "paper": {"budget"},
    "budget": set(),
    "claims": set(),
    "tracking": {"budget"},
    "data": {"tracking"},
    "evaluation": {"data", "model", "tracking", "trained", "training"},
    "model": set(),
    "contract": {"budget", "model"},
    "training": {"budget", "data", "model", "tracking"},
    "benchmark": {
        "contract",
        "data",
        "model",
        "training",
        "tracking",
        "sweeping",
        "trained",
        "evaluation",
    },
    "sweeping": {"budget", "claims", "contract", "data", "model", "training", "tracking"},
    "reporting": {"budget", "claims", "paper", "tracking"},
    "export": {"budget", "data", "sweeping", "tracking"},
    "trained": {"budget", "data", "export", "model", "reporting", "tracking", "training"},
    "upkeep": {
        *("budget", "data", "evaluation", "export", "reporting", "tracking", "trained", "training"),
    },
    "views": {
        "benchmark",
        "budget",
        "contract",
        "data",
        "evaluation",
        "reporting",
        "sweeping",
        "tracking",
        "trained",
        "training",
        "upkeep",
    },
    "cli": {
        "benchmark",
        "budget",
        "claims",
        "contract",
        "data",
        "evaluation",
        "export",
        "model",
        "training",
        "tracking",
        "sweeping",
        "reporting",
        "trained",
        "upkeep",
        "views",
    },
}
# What everything may import, each but those after it.
BELOW = (
    "openmp",
    "errors",
    "terminal",
    "terminal_table",
    "json_text",
    "number_text",
    "source_text",
    "frozen_model",
    "variants",
    "objectives",
    "config",
)
HEAVY = {"torch", "mlflow", "optuna", "pandas", "matplotlib", "lm_eval", "triton"}
TORCH_FREE = {*BELOW, "budget", "claims", "tracking", "data", "reporting", "views", "cli"}
TORCH_FREE_FILES = {
    f"sweeping/{name}.py"
    for name in (
        "plan",
        "costing",
        "estimate",
        "match_rows",
        "part_costs",
        "overview",
        "timed_models",
        "status",
        "study_name",
        "cluster_worker",
        "slurm_workers",
    )
}
MAX_FILE_LINES, MAX_FUNCTION_LINES = 400, 60


def imports(path: Path, *, at_import_time: bool = False) -> Iterator[str]:
    """Yield the modules that a file imports, fully named."""
    yield from _imported(path, at_import_time)


@cache  # every rule asks for every file
def _imported(path: Path, at_import_time: bool) -> tuple[str, ...]:
    return tuple(_read_imports(path, at_import_time))


@cache
def _parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _read_imports(path: Path, at_import_time: bool) -> Iterator[str]:
    tree = _parsed(path)
    nodes = _import_time_nodes(tree) if at_import_time else ast.walk(tree)
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module or ""


def _import_time_nodes(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        is_typing_only = isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef) or is_typing_only:
            continue
        yield child
        yield from _import_time_nodes(child)


def package_of(path: Path) -> str:
    return path.relative_to(ROOT / "switchhead_lab").parts[0].removesuffix(".py")


LAB_FILES = [path for path in FILES if "switchhead_lab" in path.relative_to(ROOT).parts]
KERNEL_FILES = [path for path in FILES if path not in LAB_FILES]


def importing(paths: Iterable[Path], is_wrong: Callable[[Path, str], bool]) -> list[str]:
    """Return "file imports module" for every import that a rule forbids."""
    return [
        f"{path.relative_to(ROOT)} imports {module}"
        for path in paths
        for module in imports(path)
        if is_wrong(path, module)
    ]


def test_imports_point_one_way() -> None:
    def is_wrong(path: Path, module: str) -> bool:
        package = package_of(path)
        if package in ("__init__", "__main__"):
            return False
        if module.startswith("switchhead_kernels"):
            return package not in ("model", "training", "benchmark", "views", "cli")
        allowed = ALLOWED.get(package, set()) | {*BELOW, package}
        if package in BELOW:
            allowed = set(BELOW[: BELOW.index(package)]) | {package}
        return module.startswith("switchhead_lab.") and module.split(".")[1] not in allowed

    assert importing(LAB_FILES, is_wrong) == []


def test_kernels_know_nothing_of_the_lab() -> None:
    assert importing(KERNEL_FILES, lambda path, module: module.startswith("switchhead_lab")) == []


def test_only_triton_files_import_triton() -> None:
    others = [path for path in KERNEL_FILES if not path.name.startswith("triton_")]
    assert 0 < len(others) < len(KERNEL_FILES)
    assert importing(others, lambda path, module: module.split(".")[0] == "triton") == []


@pytest.mark.parametrize(
    ("tool", "expected"),
    [
        (
            "mlflow",
            {f"tracking/mlflow_{name}.py" for name in ("store", "database", "links")},
        ),
        (
            "optuna",
            {
                "sweeping/study.py",
                "sweeping/study_storage.py",
                "sweeping/pruning.py",
                "tracking/search_space.py",
                "reporting/importance.py",
            },
        ),
        ("datasets", {"data/hub.py", "evaluation/sources.py"}),
        ("lm_eval", {"evaluation/harness.py", "evaluation/harness_command.py"}),
        ("fsspec", {"tracking/artifact_store.py"}),
        ("jinja2", {"reporting/html/rendering.py"}),
        ("sklearn", {"data/digits.py"}),
        ("submitit", {"sweeping/slurm_workers.py"}),
        ("ray", {"sweeping/ray_workers.py"}),
    ],
)
def test_each_tool_is_imported_in_one_place(tool: str, expected: set[str]) -> None:
    assert importers_of(tool) == expected


def test_only_figures_import_matplotlib() -> None:
    assert {str(Path(name).parent) for name in importers_of("matplotlib")} == {"reporting/figures"}


def test_typer_is_the_command_line_s_alone() -> None:
    assert {importer.split("/")[0] for importer in importers_of("typer")} == {"cli"}


def importers_of(tool: str) -> set[str]:
    return {
        str(path.relative_to(ROOT / "switchhead_lab"))
        for path in LAB_FILES
        if any(module.split(".")[0] == tool for module in imports(path))
    }


def test_torch_free_packages_stay_so() -> None:
    files = {str(path.relative_to(ROOT / "switchhead_lab")): path for path in LAB_FILES}
    assert files.keys() >= TORCH_FREE_FILES
    wrong = []
    for name, path in files.items():
        forbidden = (
            {"torch"} if package_of(path) in TORCH_FREE or name in TORCH_FREE_FILES else set()
        )
        if package_of(path) == "cli":
            forbidden = HEAVY | {"numpy", "pydantic"}
        modules = {module.split(".")[0] for module in imports(path, at_import_time=True)}
        wrong += [f"{name} imports {module}" for module in modules & forbidden]
    assert wrong == []


def test_documents_of_tasks_are_made_without_torch_or_the_harness() -> None:
    documents = [path for path in LAB_FILES if "evaluation/documents/" in path.as_posix()]
    assert documents
    assert importing(documents, lambda _, module: module.split(".")[0] in HEAVY) == []


def test_files_and_functions_stay_short() -> None:
    too_long = []
    for path in FILES:
        text, name = path.read_text(encoding="utf-8"), path.relative_to(ROOT)
        if len(text.splitlines()) > MAX_FILE_LINES:
            too_long.append(str(name))
        for node in ast.walk(_parsed(path)):
            if isinstance(node, ast.FunctionDef):
                n_lines = (node.end_lineno or node.lineno) - node.lineno + 1
                too_long += [f"{name}: {node.name}"] * (n_lines > MAX_FUNCTION_LINES)
    assert too_long == []


def test_help_imports_nothing_heavy() -> None:
    program = (
        "import sys\n"
        "from typer.testing import CliRunner\n"
        "from switchhead_lab.cli.app import app\n"
        "assert CliRunner().invoke(app, ['--help']).exit_code == 0\n"
        "print(*sorted({name.split('.')[0] for name in sys.modules}))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert not HEAVY & set(done.stdout.split())


@pytest.mark.thorough
def test_importing_the_library_prints_nothing_and_writes_nothing(tmp_path: Path) -> None:
    modules = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in LAB_FILES
        if path.name not in ("__init__.py", "__main__.py")
    ]
    program = "import " + ", ".join(modules)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
    )
    assert (done.stdout, done.stderr) == ("", "")
    assert not list(tmp_path.iterdir())


def test_the_project_speaks_of_itself_alone() -> None:
    """No file names a folder of the machine it was written on."""
    tracked = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split("\0")
    for name in filter(None, tracked):
        path = ROOT / name
        if path.suffix in {".py", ".md", ".toml", ".txt", ".cff", ""} and path.is_file():
            text = path.read_text(encoding="utf-8")
            assert "/root" + "/" not in text, name
            assert str(ROOT.parent) + "/" not in text, name


# Where the names of objectives and their metrics may appear besides `objectives/` and its scorers:
# the default of configurations, the metric of the paper's tables, and the metrics of lm-eval that
# have the same name.
KNOWS_OBJECTIVES = {
    *("config/objective.py", "config/zero_shot.py", "reporting/paper_values.py"),
    *("evaluation/tasks.py", "tracking/evaluations.py", "tracking/mlflow_fields.py"),
    "views/evaluation.py",
}


def test_only_objectives_know_their_names() -> None:
    from switchhead_lab.config.objective import DEFAULT_OBJECTIVE
    from switchhead_lab.objectives.registry import objectives

    known = objectives()
    assert DEFAULT_OBJECTIVE.kind in known
    scorers = {schema.module.split(":")[0] for schema in known.values()}
    words = {*known, *(metric.name for schema in known.values() for metric in schema.metrics)}
    own = {schema.__module__ for schema in known.values()}
    wrong = []
    for path in LAB_FILES:
        relative = str(path.relative_to(ROOT / "switchhead_lab"))
        is_scorer = f"switchhead_lab.{relative.removesuffix('.py').replace('/', '.')}" in scorers
        if package_of(path) == "objectives" or is_scorer or relative in KNOWS_OBJECTIVES:
            continue
        texts = {node.value for node in ast.walk(_parsed(path)) if isinstance(node, ast.Constant)}
        wrong += [f'{relative} says "{word}"' for word in words & texts]
        wrong += [f"{relative} imports {module}" for module in own & set(imports(path))]
    assert wrong == []
