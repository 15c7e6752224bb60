import json
from pathlib import Path

import pytest

from switchhead_lab.config.sweep_files import read_sweep_file
from switchhead_lab.tracking.sweep_dir import SweepDir, list_sweep_records
from switchhead_lab.tracking.sweep_record import SweepMember, SweepRecord

SWEEP = Path(__file__).parents[2] / "sweeps" / "smoke" / "matched-params.toml"


def write_record(runs_dir: Path, seed: int) -> Path:
    sweep = read_sweep_file(SWEEP).resolve("", [f"data.max_train_tokens={1000 + seed}"])
    member = SweepMember(
        model="dense", role="baseline", seed=0, run_name="run", run_hash="0", state="finished"
    )
    record = SweepRecord(sweep=sweep, started_at=1.0, updated_at=1.0, members=[member])
    directory = SweepDir.of(runs_dir, sweep)
    directory.write(record)
    return directory.record_path


@pytest.mark.parametrize("name", ["../../outside", "/outside", "..", "a/b", ""])
def test_a_record_with_a_path_outside_the_runs_folder_is_skipped_with_a_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    write_record(tmp_path, 0)
    path = write_record(tmp_path, 1)
    data = json.loads(path.read_text(encoding="utf-8"))
    data["members"][0]["run_name"] = name
    path.write_text(json.dumps(data), encoding="utf-8")
    (record,) = list_sweep_records(tmp_path)
    assert record.sweep.data.max_train_tokens == 1000
    warning = capsys.readouterr().err
    assert warning.startswith(f"warning: skipped: {path}: damaged")
    assert warning.count("\n") == 1
