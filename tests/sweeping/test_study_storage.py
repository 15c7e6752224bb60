from pathlib import Path

import optuna
import pytest
from sql_kills import run_until_statement
from tiny_sweep import DECLARATION

from switchhead_lab.config.files import parse
from switchhead_lab.config.sweep import Sweep
from switchhead_lab.errors import RecordError, WorkspaceError
from switchhead_lab.sweeping.study import SearchStudy, open_study
from switchhead_lab.tracking.database_file import is_empty

STUDY = {
    "model": {"kind": "switchhead"},
    "n_trials": 3,
    "space": {"n_heads": [1, 2], "n_experts": [2, 3], "top_k": [1]},
}
FIRST = {"n_heads": 1, "n_experts": 2, "top_k": 1}


def open_in(folder: Path) -> SearchStudy:
    sweep = parse(Sweep, {**DECLARATION, "studies": [STUDY]}, "test")
    return open_study(f"sqlite:///{folder}/optuna.db", sweep, sweep.studies[0], folder)


@pytest.mark.usefixtures("creates_databases")
@pytest.mark.parametrize("number", [0, 26, 48, 60, 90])
def test_a_kill_during_creation_leaves_a_usable_storage(tmp_path: Path, number: int) -> None:
    run_until_statement(lambda: open_in(tmp_path), number)
    path = tmp_path / "optuna.db"
    was_renamed = not is_empty(path)
    assert was_renamed == (number >= 60)
    assert open_in(tmp_path).propose(lambda _tried: FIRST) is not None
    assert not list(tmp_path.glob(".*.new*"))


def test_a_half_made_storage_is_detected(tmp_path: Path) -> None:
    path = tmp_path / "optuna.db"
    run_until_statement(lambda: optuna.storages.RDBStorage(f"sqlite:///{path}"), 25)
    before = path.read_bytes()
    with pytest.raises(RecordError, match=r"half-made.*move it aside.*run the sweep again"):
        open_in(tmp_path)
    assert path.read_bytes() == before


def test_a_file_that_is_not_a_storage_is_reported(tmp_path: Path) -> None:
    (tmp_path / "optuna.db").write_bytes(b"this is no database" * 100)
    with pytest.raises(WorkspaceError, match=r"optuna\.db: cannot be used: .*not a database"):
        open_in(tmp_path)
