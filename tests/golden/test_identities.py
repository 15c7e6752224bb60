"""Identities of every shipped sweep and of its runs: what was trained before is found again.

`pytest tests/golden --regenerate-golden` records them anew; a changed identity orphans the runs of
everybody who has them.
"""

import hashlib
import json
from pathlib import Path

import pytest
import shipped_sweeps

from switchhead_lab.config.identity import identity
from switchhead_lab.config.sweep_files import list_sweep_files, read_sweep_file
from switchhead_lab.sweeping.plan import Variant, all_variants, run_config
from switchhead_lab.tracking.sweep_record import sweep_id

SWEEPS = Path(__file__).parents[2] / "sweeps"
RECORDED = Path(__file__).with_name("identities.json")


def identities_of(name: str) -> dict[str, list[str]]:
    """Return, by size, the sweep's id and a hash over the identities of its runs."""
    file = read_sweep_file(SWEEPS / name)
    found = {}
    for size in file.sizes:
        sweep = file.resolve(size)
        models = [v.model for v in all_variants(sweep) if isinstance(v, Variant)]
        runs = "".join(identity(run_config(sweep, model, 0)) for model in models)
        found[size] = [sweep_id(sweep), hashlib.sha256(runs.encode()).hexdigest()[:16]]
    return found


def test_identities_stay(request: pytest.FixtureRequest) -> None:
    if request.config.getoption("--regenerate-golden"):
        names = [str(path.relative_to(SWEEPS)) for path in list_sweep_files(SWEEPS)]
        found = {name: identities_of(name) for name in names}
        RECORDED.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    recorded = json.loads(RECORDED.read_text(encoding="utf-8"))
    # Of the recorded ones: sweeps of one's own may lie beside them.
    assert {name: identities_of(name) for name in recorded} == recorded


def test_a_users_own_sweeps_are_not_among_those_that_tests_use() -> None:
    copied = shipped_sweeps.SWEEPS
    used = {str(path.relative_to(copied)) for path in copied.rglob("*.toml")}
    bases = {name for name in used if Path(name).name.startswith("_")}
    assert used - bases == {*json.loads(RECORDED.read_text(encoding="utf-8"))}
