"""Copies of sweeps' records on a host, refreshed from the database."""

import shutil
import time

import pytest
from finished_sweeps import finished
from tiny_sweep import DECLARATION

from switchhead_lab.config.files import parse
from switchhead_lab.config.sweep import Sweep
from switchhead_lab.config.workspace import Workspace, find_workspace
from switchhead_lab.tracking.database_server import execute, open_database
from switchhead_lab.tracking.sweep_dir import SweepDir
from switchhead_lab.tracking.sweep_store import elsewhere_notice, open_sweep, refresh_records


def with_database(workspace: Workspace, address: str) -> Workspace:
    path = workspace.root / "lab.toml"
    path.write_text(f'{path.read_text()}database = "{address}"\n')
    return find_workspace(workspace.root, environment={})


def test_copies_of_all_records_are_refreshed(workspace, database) -> None:
    sweep = parse(Sweep, DECLARATION, "test")
    record = finished(workspace, sweep)
    workspace = with_database(workspace, database)
    refresh_records(workspace, pytest.fail)  # before there are tables
    stored = open_sweep(workspace, sweep)
    with stored.locked():
        stored.write(record)
    copy = SweepDir(stored.path)
    shutil.rmtree(copy.path)
    refresh_records(workspace, pytest.fail)
    assert copy.read() == record
    written = copy.record_path.stat().st_ino
    refresh_records(workspace, pytest.fail)
    assert copy.record_path.stat().st_ino == written, "an equal copy is left alone"


def test_a_damaged_record_is_a_warning_and_leads_nowhere(workspace, database, tmp_path) -> None:
    workspace = with_database(workspace, database)
    engine = open_database(workspace.database)
    said: list[str] = []
    for name, expected in (
        ("../../evil", "is not the id of a sweep"),
        ("x", "in the database is damaged"),
    ):
        statement = "INSERT INTO lab.sweeps (id, record) VALUES (:id, '{}')"
        execute(engine, statement, id=name)
        refresh_records(workspace, said.append)
        assert expected in said[-1]
        execute(engine, "DELETE FROM lab.sweeps")
    assert not (tmp_path / "evil").exists()


def test_without_an_answer_the_copies_stay_and_nobody_waits(workspace) -> None:
    workspace = with_database(workspace, "postgresql://lab@127.0.0.1:9/lab")
    said: list[str] = []
    started = time.monotonic()
    refresh_records(workspace, said.append)
    assert time.monotonic() - started < 30
    assert said[0].startswith("warning: what other hosts did since is missing: database of lab")


def test_without_a_database_or_store_nothing_happens(workspace) -> None:
    refresh_records(workspace, pytest.fail)
    assert elsewhere_notice(workspace) is None
