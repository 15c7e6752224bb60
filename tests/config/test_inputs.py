"""Any TOML value of any key gives a valid configuration or one clear error, never a traceback."""

import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
import tomli_w

from switchhead_lab.config.files import apply_overrides, parse, read_as, read_toml
from switchhead_lab.config.schema import RunConfig
from switchhead_lab.config.sweep import Sweep
from switchhead_lab.config.sweep_files import find_sweep, list_sweep_files, read_sweep_file
from switchhead_lab.config.workspace import WorkspaceSettings, find_workspace
from switchhead_lab.errors import ConfigError

SWEEP = Path(__file__).parents[2] / "sweeps" / "matched-params.toml"
VALUES = [
    *("''", "'x'", "'../x'", '"a\\u0000b"', "true", "false", "0", "3", "-1", "9223372036854775807"),
    *("9223372036854775808", "-9223372036854775809", "0x" + "f" * 5000, "1" * 5000),
    *("0.5", "1e308", "nan", "inf", "-inf", "2024-01-02", "12:30:00", "2024-01-02T12:30:00Z"),
    *("[]", "[1]", "['a']", "[[]]", "[{}]", "{}", "{ a = 1 }", "{ kind = 3 }", "{ kind = 'x' }"),
    *("{ kind = [] }", "[" * 40 + "]" * 40, "[" * 9000 + "]" * 9000),
]
OWN_KEYS = ["base", "default_size", "sizes", "name", "size", "unknown"]


def replaced(tree: dict, key: str, value: str) -> str:
    """Return TOML text of a tree with one top-level key replaced by a value as written."""
    rest = {name: old for name, old in tree.items() if name != key}
    return f"{key} = {value}\n{tomli_w.dumps(rest)}"


def error_of(action: Callable[[], object]) -> str:
    """Return the error of an action, empty without one; any other exception fails the test."""
    try:
        action()
    except ConfigError as error:
        return str(error)
    return ""


def assert_clear(action: Callable[[], object], folder: Path) -> None:
    error = error_of(action)
    assert not error or error.startswith(f"{folder}/")
    assert all(len(line) < 600 for line in error.splitlines())


@pytest.mark.parametrize("key", [*Sweep.model_fields, *OWN_KEYS])
def test_any_value_of_any_key_of_a_sweep(tmp_path: Path, key: str) -> None:
    tree = tomllib.loads(SWEEP.read_text(encoding="utf-8"))
    path = tmp_path / "s.toml"
    for value in VALUES:
        path.write_text(replaced(tree, key, value), encoding="utf-8")

        def resolve_all() -> None:
            file = read_sweep_file(path)
            for size in file.sizes:
                file.resolve(size)

        assert_clear(resolve_all, tmp_path)


@pytest.mark.parametrize("key", [*RunConfig.model_fields, "unknown"])
def test_any_value_of_any_key_of_a_run(tmp_path: Path, tiny_config, key: str) -> None:
    tree = tiny_config("switchhead").model_dump(mode="json")
    path = tmp_path / "run.toml"
    for value in VALUES:
        path.write_text(replaced(tree, key, value), encoding="utf-8")
        assert_clear(lambda: read_as(RunConfig, path), tmp_path)


@pytest.mark.parametrize("key", [*WorkspaceSettings.model_fields, "unknown"])
def test_any_value_of_any_key_of_a_workspace(tmp_path: Path, key: str) -> None:
    path = tmp_path / "lab.toml"
    for value in VALUES:
        path.write_text(f"{key} = {value}\n", encoding="utf-8")

        def read_all_settings() -> None:
            found = find_workspace(tmp_path, environment={})
            for name in ("data_dir", "runs_dir", "reports_dir", "sweeps_dir"):
                getattr(found, name).exists()
            assert found.tracking_uri
            assert found.study_storage

        assert_clear(read_all_settings, tmp_path)


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("place", ["model", "training.n_steps", "data.tokenizer", "model.a.b"])
def test_any_value_of_an_override(tiny_config, place: str, value: str) -> None:
    tree = tiny_config().model_dump(mode="json")
    overrides = [f"{place}={value}"]
    error = error_of(lambda: parse(RunConfig, apply_overrides(tree, overrides, RunConfig), "--set"))
    assert not error or error.startswith("--set")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sizes = 3", "no [sizes.NAME] table; declare at least one size"),
        ("[sizes]", "declare at least one size"),
        ("[sizes]\nsmall = false", "declare at least one size"),
        ("[sizes]\nsmall = true", "sizes.small is not a table; write [sizes.small]"),
        ("base = 3\n[sizes.small]", "base = 3: write the name of a file beside this one in quotes"),
        ("default_size = 5\n[sizes.small]", "default_size = 5: write the name of a size in quotes"),
        ("default_size = 'smal'\n[sizes.small]", "no such size; sizes: small"),
        ("[sizes.small]\nextends = 3", "sizes.small.extends = 3: write the name of a size"),
        ("base = './s.toml'\n[sizes.small]", "is its own base"),
        ("base = '../{folder}/s.toml'\n[sizes.small]", "is its own base"),
    ],
)
def test_errors_of_keys_outside_the_schema(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "s.toml"
    path.write_text(text.replace("{folder}", tmp_path.name), encoding="utf-8")
    with pytest.raises(ConfigError) as error:
        read_sweep_file(path).resolve()
    assert message in str(error.value)


def test_deep_tables_are_rejected(tmp_path: Path) -> None:
    path = tmp_path / "s.toml"
    path.write_text(".".join("a" * 2000) + " = 1\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="nested too deeply; use at most 32 levels"):
        read_toml(path)
    with pytest.raises(ConfigError, match="nested too deeply"):
        parse(RunConfig, apply_overrides({}, [".".join("a" * 2000) + "=1"], RunConfig), "--set")


@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"], ids=["plain", "marked"])
def test_a_byte_order_mark_is_skipped(tmp_path: Path, bom: bytes) -> None:
    path = tmp_path / "s.toml"
    path.write_bytes(bom + b'name = "x"\n')
    assert read_toml(path) == {"name": "x"}


@pytest.mark.parametrize(
    ("assignment", "value"),
    [
        ("data.corpus=1_1", "1_1"),
        ("data.corpus=2024", "2024"),
        ("data.corpus=true", "true"),
        ("data.corpus=2024-01-02", "2024-01-02"),
        ("data.corpus=nan", "nan"),
        ("data.corpus='2024'", "2024"),
        ("data.corpus=words\nseed=3", "words\nseed=3"),
    ],
)
def test_text_fields_take_values_verbatim(tiny_config, assignment, value) -> None:
    tree = apply_overrides(tiny_config().model_dump(mode="json"), [assignment], RunConfig)
    assert tree["data"]["corpus"] == value
    assert tree["seed"] == 0


def test_other_fields_take_toml(tiny_config) -> None:
    tree = tiny_config().model_dump(mode="json")
    changed = apply_overrides(tree, ["seed=1_1", "model.context_multiple=2"], RunConfig)
    assert (changed["seed"], changed["model"]["context_multiple"]) == (11, 2)


def test_the_home_folder_is_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    text = 'runs_dir = "~/runs"\nstudy_storage = "sqlite:///~/optuna.db"\n'
    (tmp_path / "lab.toml").write_text(text, encoding="utf-8")
    found = find_workspace(tmp_path, environment={})
    assert found.runs_dir == tmp_path / "home" / "runs"
    assert found.study_storage == f"sqlite:///{tmp_path}/home/optuna.db"


def test_hidden_files_and_folders_are_not_sweeps(tmp_path: Path) -> None:
    (tmp_path / "tiny.toml").write_text("[sizes.small]\n", encoding="utf-8")
    (tmp_path / "._tiny.toml").write_bytes(b"\0\5\x16\7\xff")
    (tmp_path / ".ipynb_checkpoints").mkdir()
    (tmp_path / ".ipynb_checkpoints" / "tiny-checkpoint.toml").write_text("", encoding="utf-8")
    assert list_sweep_files(tmp_path) == [tmp_path / "tiny.toml"]
    assert find_sweep(tmp_path, "tiny").sizes == {"small": {}}
