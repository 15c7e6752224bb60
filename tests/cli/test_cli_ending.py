"""Exit codes of commands that train: failed runs take precedence over unsynced ones."""

import pytest
import typer

from switchhead_lab.cli.ending import end_training
from switchhead_lab.tracking import unsynced
from switchhead_lab.tracking.sweep_record import SweepMember, SweepRecord, failures_by_cause


@pytest.mark.parametrize(
    ("failures", "notice", "code"),
    [
        ("", None, None),
        ("2 non-finite", None, 1),
        ("", "1 run is not in MLflow yet: lab runs sync", 3),
        ("1 other", "1 run is not in MLflow yet: lab runs sync", 1),
    ],
)
def test_exit_codes_and_notices(
    tmp_path, monkeypatch, capsys, failures: str, notice: str | None, code: int | None
) -> None:
    monkeypatch.setattr(unsynced, "unsynced_notice", lambda runs_dir: notice)
    if code is None:
        end_training(tmp_path, failures)
    else:
        with pytest.raises(typer.Exit) as ended:
            end_training(tmp_path, failures)
        assert ended.value.exit_code == code
    errors = capsys.readouterr().err
    assert failures in errors
    assert (notice or "") in errors


def test_failures_are_counted_by_cause() -> None:
    def member(state: str, cause: str) -> SweepMember:
        values = {"model": "m", "role": "declared", "seed": 0, "run_name": "r", "run_hash": "h"}
        return SweepMember.model_validate({**values, "state": state, "cause": cause})

    members = [
        member("failed", "non-finite"),
        member("failed", "out of memory"),
        member("failed", "non-finite"),
        member("failed", ""),
        member("finished", ""),
    ]
    record = SweepRecord.model_construct(members=members)
    assert failures_by_cause(record) == "2 non-finite, 1 out of memory, 1 other"
    assert failures_by_cause(SweepRecord.model_construct(members=members[-1:])) == ""
