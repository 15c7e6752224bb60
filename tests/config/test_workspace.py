from pathlib import Path

import pytest

from switchhead_lab.config.workspace import find_workspace
from switchhead_lab.errors import ConfigError, WorkspaceError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "lab.toml").write_text('runs_dir = "out"\n', encoding="utf-8")
    (tmp_path / "a" / "b").mkdir(parents=True)
    return tmp_path


def test_workspace_is_found_from_any_subfolder(root: Path) -> None:
    found = find_workspace(root / "a" / "b", environment={})
    assert found.root == root
    assert found.runs_dir == root / "out"


def test_lab_home_wins(root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    assert find_workspace(elsewhere, environment={"LAB_HOME": str(root)}).root == root


def test_lab_home_without_a_workspace_is_an_error(root: Path) -> None:
    with pytest.raises(WorkspaceError, match="LAB_HOME=.*no lab.toml"):
        find_workspace(root, environment={"LAB_HOME": str(root / "a")})


def test_an_inaccessible_path_is_an_error(root: Path) -> None:
    with pytest.raises(WorkspaceError, match="cannot be read: File name too long") as error:
        find_workspace(root, environment={"LAB_HOME": "a" * 5000})
    assert len(str(error.value)) < 300


def test_no_workspace_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(WorkspaceError, match="set LAB_HOME"):
        find_workspace(tmp_path, environment={})


def test_unknown_setting_is_rejected(root: Path) -> None:
    (root / "lab.toml").write_text('run_dir = "out"\n', encoding="utf-8")
    with pytest.raises(ConfigError, match='did you mean "runs_dir"'):
        find_workspace(root, environment={})


def test_sqlite_paths_are_absolute_and_servers_unchanged(root: Path) -> None:
    assert find_workspace(root, environment={}).tracking_uri == f"sqlite:///{root}/runs/mlflow.db"
    (root / "lab.toml").write_text('tracking_uri = "http://tracker:5000"\n', encoding="utf-8")
    assert find_workspace(root, environment={}).tracking_uri == "http://tracker:5000"


def test_one_database_for_both_is_rejected(root: Path) -> None:
    uri = "postgresql+psycopg://host/lab"
    text = f'tracking_uri = "{uri}"\nstudy_storage = "{uri}"\n'
    (root / "lab.toml").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match="each need their own"):
        find_workspace(root, environment={})
