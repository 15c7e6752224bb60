"""The committed pocket study: its records give the committed tables, and the README shows them."""

import csv
import math
import re
import shutil
import statistics
import tarfile
from pathlib import Path

import pytest
from shipped_sweeps import SWEEPS

from switchhead_lab.config.workspace import Workspace, find_workspace
from switchhead_lab.reporting.all_sweeps import write_reports
from switchhead_lab.reporting.contents import DEFAULT_AXES
from switchhead_lab.reporting.selection import recorded_sweeps
from switchhead_lab.reporting.statistics import MISSING

ROOT = Path(__file__).parents[2]
STUDY = ROOT / "reports/pocket"
RULES = {
    "dense baseline": "dense",
    "parameters": "by-parameters",
    **{f"MACs, `{name}`": f"by-{name}" for name in ("published", "equations", "executed")},
}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A copy of the study's workspace with its records, without reports."""
    folder = tmp_path_factory.mktemp("study") / "reports/pocket"
    folder.mkdir(parents=True)
    shutil.copytree(SWEEPS, folder.parents[1] / "sweeps")
    shutil.copy(STUDY / "lab.toml", folder)
    with tarfile.open(STUDY / "runs.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    return find_workspace(folder, environment={})


def test_records_give_the_committed_tables(study: Workspace) -> None:
    selections = recorded_sweeps(study.runs_dir)
    ladder, *_ = (s.record.sweep.ladder for s in selections if s.record.sweep.name == "ladder")
    written = write_reports(selections, study, DEFAULT_AXES, "", ladders={"ladder": ladder})
    assert written.errors == ()
    assert all("size l has not been run" in line for line in written.incomplete)
    tables = {p.relative_to(study.root): p.read_bytes() for p in study.root.glob("*/*.csv")}
    committed = {p.relative_to(STUDY): p.read_bytes() for p in STUDY.glob("*/*.csv")}
    assert {path.name for path in committed} >= {"table.csv", "costs.csv", "claims.csv"}
    assert tables == committed


def test_the_archive_has_no_weights_and_no_paths_of_a_machine() -> None:
    with tarfile.open(STUDY / "runs.tar.xz") as archive:
        names = archive.getnames()
        assert not [name for name in names if "checkpoints" in name or "mlflow" in name]
        for member in archive.getmembers():
            file = archive.extractfile(member)
            assert file is None or b"/bin/lab" not in file.read(), member.name


def read_csv(name: str, sweep: str = "matching-rules") -> list[dict[str, str]]:
    (path,) = STUDY.glob(f"{sweep}-pocket-*/{name}.csv")
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_readme_shows_the_matching_rules_as_they_are() -> None:
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    table = [
        line for line in lines if re.match(r"\| (matched by|dense base|parameters|MACs,)", line)
    ]
    heading, *rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in table)
    models, costs = ({row["model"]: row for row in read_csv(n)} for n in ("table", "costs"))
    quality = {row["claim"]: row for row in read_csv("claims") if row["part"] == "validation loss"}
    assert [row[0] for row in rows] == list(RULES)
    for row in rows:
        name = RULES[row[0]]
        model, claim = models[name], quality.get(f"{name}-vs-dense")
        mean, std = (float(model[f"validation_perplexity_{key}"]) for key in ("mean", "std"))
        parts = () if claim is None else [float(claim[key]) for key in ("estimate", "low", "high")]
        expected = [
            f"{int(model['n_parameters']) / 1e6:.3f}M",
            f"{mean:.2f} ± {std:.2f}",
            "{:+.3f} ({:+.3f} to {:+.3f})".format(*parts) if parts else MISSING,
            *(
                f"{100 * float(costs[name][f'relative_{cost}']):.0f} %"
                for cost in ("attention_macs_published", "attention_macs_executed")
            ),
            f"{100 * float(costs[name]['relative_model_macs_executed']):.0f} %",
            f"{100 * float(costs[name]['relative_attention_memory_executed']):.0f} %",
            MISSING if claim is None else claim["verdict"],
        ]
        assert row[1:] == expected, heading
        assert (model["n_seeds"], model["n_seeds_declared"]) == ("3", "3")


def test_the_readme_states_the_verdicts_on_table_2() -> None:
    text = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    claims = read_csv("claims", "table2-wikitext103")
    assert {row["claim"] for row in claims} == {"as-good-and-cheaper", "dense-needs-its-heads"}
    assert {row["verdict"] for row in claims} == {"supported"}
    (n,) = {row["n"] for row in claims if row["part"] == "validation loss"}
    assert f"needed {n} seeds for both" in text


def test_the_readme_states_what_rope_changes() -> None:
    text = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    claims = {row["claim"]: row["verdict"] for row in read_csv("claims", "table7-wikitext103")}
    assert claims["dense-needs-its-heads"] == "refuted"
    models = {row["model"]: row for row in read_csv("table", "table7-wikitext103")}
    assert {row["n_seeds"] for row in models.values()} == {"3"}
    heads, ours = (
        float(models[name]["relative_validation_perplexity"])
        for name in ("dense-2-heads", "switchhead")
    )
    assert f"have {heads:.3f} of the baseline's perplexity" in text
    assert f"SwitchHead with two heads has {ours:.3f}" in text


def test_the_readme_states_the_compute_multiplier_of_the_ladder() -> None:
    text = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    (path,) = STUDY.glob("ladder-ladder-*/table.csv")
    with path.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    sizes = sorted(int(row["n_parameters"]) / 1e6 for row in rows)
    assert f"three sizes with RoPE ({sizes[0]:.2f} to {sizes[-1]:.2f} million parameters)" in text
    (row,) = (r for r in rows if (r["model"], r["size"]) == ("switchhead", "s"))
    value, low, high = (float(row[f"compute_multiplier{end}"]) for end in ("", "_low", "_high"))
    assert f"needs {value:.2f} times as many training MACs" in text
    assert f"(95 %: {low:.2f} to {high:.2f}" in text


def test_the_zero_shot_table_of_the_documents_is_the_studys() -> None:
    shown = {"dense": "dense", "SwitchHead, matched by parameters": "by-parameters"}
    tasks = (
        *("blimp", "pocket_minimal_pairs", "pocket_cloze_noun", "pocket_cloze_name"),
        "pocket_last_word",
    )
    recorded = {row["model"]: row for row in read_csv("zero-shot")}
    text = (ROOT / "docs/evaluation.md").read_text(encoding="utf-8")
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()]
    found = {row[0]: row[1:] for row in rows if row[0] in shown}
    assert found.keys() == shown.keys()
    for name, model in shown.items():
        row = recorded[model]
        assert row["n_seeds"] == "3"
        assert found[name] == [
            f"{float(row[f'{task}_mean']):.1f} ± {float(row[f'{task}_std']):.1f}" for task in tasks
        ]


def test_the_known_model_in_the_documents_has_its_recorded_accuracies() -> None:
    with (STUDY / "anchor.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    sets = [row for row in rows if row["task"].startswith("blimp_")]
    assert len({row["documents_sha256"] for row in sets}) == 67
    assert {row["n_documents"] for row in sets} == {"1000"}
    (last_word,) = (row for row in rows if row["task"] == "pocket_last_word")
    mean = statistics.fmean(float(row["accuracy"]) for row in sets)
    error = math.hypot(*(float(row["standard_error"]) for row in sets)) / len(sets)
    text = (ROOT / "docs/evaluation.md").read_text(encoding="utf-8")
    (line,) = (line for line in text.splitlines() if line.startswith("| SmolLM2-135M"))
    cells = [cell.strip() for cell in line.strip("|").split("|")][1:]
    alone = (float(last_word["accuracy"]), float(last_word["standard_error"]))
    shown = [f"{100 * value:.1f} ± {100 * spread:.1f}" for value, spread in ((mean, error), alone)]
    assert [cells[0], cells[-1]] == shown
