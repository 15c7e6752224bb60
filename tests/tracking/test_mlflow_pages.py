"""Pages of runs in MLflow, from the link in a run's directory."""

import json
from pathlib import Path

import pytest

from switchhead_lab.tracking.file_names import MLFLOW_LINK_FILE
from switchhead_lab.tracking.mlflow_pages import page_of_run

DATABASE, SERVER = "sqlite:////lab/runs/mlflow.db", "https://user:secret@tracker:8080/"
MASKED = "https://user:***@tracker:8080/"
UI = "http://127.0.0.1:5000/#/experiments/7/runs/abc"


@pytest.mark.parametrize(
    ("recorded", "now", "page"),
    [
        (DATABASE, DATABASE, UI),
        ("sqlite:////elsewhere/mlflow.db", DATABASE, UI),  # the workspace was moved
        (MASKED, SERVER, "https://user:***@tracker:8080/#/experiments/7/runs/abc"),
        ("https://other:8080", SERVER, None),
        (MASKED, DATABASE, None),
        (DATABASE, SERVER, None),
        (DATABASE, "none", None),
    ],
)
def test_the_page_is_in_the_store_of_the_workspace(
    tmp_path: Path, recorded: str, now: str, page: str | None
) -> None:
    link = {"run_id": "abc", "experiment_id": "7", "tracking_uri": recorded}
    (tmp_path / MLFLOW_LINK_FILE).write_text(json.dumps(link))
    assert page_of_run(tmp_path, now) == page


@pytest.mark.parametrize("text", [None, "", "[]", '{"run_id": "abc"}'])
def test_without_a_whole_link_there_is_no_page(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / MLFLOW_LINK_FILE).write_text(text)
    assert page_of_run(tmp_path, DATABASE) is None
