"""Exit codes of commands that train: failed runs take precedence over unsynced ones."""

import pytest
import typer

from switchhead_lab.cli.ending import end_training
from switchhead_lab.tracking import unsynced
from switchhead_lab.tracking.sweep_record import SweepMember, SweepRecord, describe_failures


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
    workspace, monkeypatch, capsys, failures: str, notice: str | None, code: int | None
) -> None:
    monkeypatch.setattr(unsynced, "unsynced_notice", lambda runs_dir: notice)
    if code is None:
        end_training(workspace, failures)
    else:
        with pytest.raises(typer.Exit) as ended:
            end_training(workspace, failures)
        assert ended.value.exit_code == code
    errors = capsys.readouterr().err
    assert failures in errors
    assert (notice or "") in errors


def failed(name: str, cause: str, state: str = "failed") -> SweepMember:
    values = {"model": "m", "role": "declared", "seed": 0, "run_hash": "h", "reason": "because"}
    return SweepMember.model_validate({**values, "run_name": name, "state": state, "cause": cause})


def test_failures_are_counted_by_cause_and_named() -> None:
    members = [
        failed("a", "non-finite"),
        failed("b", "out of memory"),
        failed("c", "non-finite"),
        failed("d", ""),
        failed("e", "", "finished"),
    ]
    record = SweepRecord.model_construct(members=members)
    assert describe_failures(record).splitlines() == [
        "2 non-finite, 1 out of memory, 1 other",
        *(f"  {name}: because" for name in "abcd"),
    ]
    assert describe_failures(SweepRecord.model_construct(members=members[-1:])) == ""


def test_many_failures_are_not_all_listed() -> None:
    record = SweepRecord.model_construct(members=[failed(f"r{i}", "other") for i in range(9)])
    lines = describe_failures(record).splitlines()
    assert lines[0] == "9 other"
    assert lines[-1] == "  and 4 more"
    assert len(lines) == 7
