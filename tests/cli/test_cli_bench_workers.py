"""`lab bench workers`, as a user types it."""

import json
from pathlib import Path

import pytest
from lab_processes import lab
from shipped_sweeps import SWEEPS

from switchhead_lab.config.workspace import find_workspace
from switchhead_lab.tracking.database_server import open_database, query


@pytest.mark.processes
@pytest.mark.parametrize("store", ["files", pytest.param("postgresql", marks=pytest.mark.thorough)])
def test_workers_share_all_runs_and_leave_nothing(tmp_path: Path, request, store: str) -> None:
    database = request.getfixturevalue("database") if store == "postgresql" else ""
    (tmp_path / "lab.toml").write_text(f'device = "cpu"\ndatabase = "{database}"\n')
    (tmp_path / "sweeps").symlink_to(SWEEPS)
    workspace = find_workspace(tmp_path, environment={})
    small = ("--workers", "3", "--runs", "2", "--seconds", "0.2")
    printed = lab(workspace, "bench", "workers", *small)
    assert max(map(len, printed.partition("written to")[0].splitlines())) <= 80
    found = json.loads((workspace.reports_dir / "bench/workers.json").read_text())
    assert (found["store"], found["n_workers"], found["n_runs"]) == (store, 3, 2)
    assert 0.0 < found["busy_fraction"] <= 1.0
    assert 0.0 <= found["wait_s"] <= found["longest_wait_s"]
    assert f"{100 * found['busy_fraction']:.1f}%" in printed
    assert not workspace.runs_dir.exists()
    if database:
        assert query(open_database(workspace.database), "SELECT count(*) FROM lab.sweeps") == [(0,)]
