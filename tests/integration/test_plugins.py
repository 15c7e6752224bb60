"""A variant from a plugin works like a built-in one, without changes to the package."""

import json
import shutil
import sys
from pathlib import Path

import pytest

from switchhead_lab.budget.counter import closed_form_counter
from switchhead_lab.budget.parameters import count_parameters
from switchhead_lab.budget.summary import summarise_budget
from switchhead_lab.config import plugins
from switchhead_lab.config.files import parse
from switchhead_lab.config.schema import RunConfig
from switchhead_lab.config.sweep import Sweep
from switchhead_lab.config.workspace import Workspace, find_workspace
from switchhead_lab.contract.checks import report_variant
from switchhead_lab.errors import CodeChangedError, ConfigError, ContractError, DriftError
from switchhead_lab.frozen_model import rebuild_schemas
from switchhead_lab.model.executed import executed_attention
from switchhead_lab.model.transformer import build_model
from switchhead_lab.reporting.report import write_report
from switchhead_lab.reporting.selection import Selection
from switchhead_lab.sweeping.executor import run_sweep
from switchhead_lab.sweeping.match_rows import match_rows
from switchhead_lab.sweeping.plan import declared_variants
from switchhead_lab.tracking.mlflow_index import NoIndex
from switchhead_lab.tracking.record import RunLabels, list_runs, read_run
from switchhead_lab.training.change_policy import ChangePolicy
from switchhead_lab.training.run import execute_run
from switchhead_lab.variants.registry import variants_of_kind

PLUGIN = Path(__file__).parents[1] / "plugins" / "my_variants.py"
GQA = {"kind": "my_grouped_query", "n_heads": 4, "n_groups": 2, "d_head": 4}


def with_plugins(workspace: Workspace, *names: str) -> Workspace:
    text = f'tracking_uri = "none"\ndevice = "cpu"\nplugins = {json.dumps(names)}\n'
    (workspace.root / "lab.toml").write_text(text)
    return find_workspace(workspace.root, environment={})


@pytest.fixture
def opened(workspace) -> Workspace:
    """A workspace with the plugin."""
    shutil.copy(PLUGIN, workspace.root)
    return with_plugins(workspace, "my_variants.py")


def run_config(tiny_config, **attention: int) -> RunConfig:
    tree = tiny_config(n_steps=6).model_dump(mode="json")
    tree["model"]["attention"] = {**GQA, **attention}
    return parse(RunConfig, tree, "test")


def sweep_with(tiny_config, **model: object) -> Sweep:
    config = tiny_config(n_steps=6)
    tree = {
        "name": "mine",
        "size": "tiny",
        "matching": "parameter_matched",
        "convention": "equations",
        "data": config.data.model_dump(),
        "model": {"d_model": 16, "n_layers": 2, "seq_len": 16},
        "training": config.training.model_dump(),
        "baseline": {"n_heads": 4, "d_head": 8, "d_ff": 32},
        "models": [
            {"kind": "my_grouped_query", "name": "gqa", "n_heads": 4, "n_groups": 2, **model}
        ],
    }
    return parse(Sweep, tree, "test")


def test_its_counts_are_those_of_the_built_model(opened, tiny_config) -> None:
    config = run_config(tiny_config)
    model = build_model(config.model, config.vocab_size, seed=0)
    counted = count_parameters(config.model, config.vocab_size)
    assert counted.total == sum(parameter.numel() for parameter in model.parameters())
    assert executed_attention(config.model).macs > 0


def test_it_satisfies_the_contract(opened) -> None:
    (variant,) = variants_of_kind("my_grouped_query")
    assert [f for f in report_variant(variant).findings if f.problem] == []


def test_a_broken_variant_is_loaded_only_to_be_checked(workspace) -> None:
    text = PLUGIN.read_text().replace('"key_weight": G * P * D', '"key_weight": -1')
    (workspace.root / "my_variants.py").write_text(text)
    with pytest.raises(ConfigError, match="key_weight has -1 parameters.*`lab check-variant my"):
        with_plugins(workspace, "my_variants.py")
    with pytest.raises(ConfigError, match='no variant of kind "my_grouped_query"'):
        variants_of_kind("my_grouped_query")
    find_workspace(workspace.root, environment={}, checks_plugins=False)
    (variant,) = variants_of_kind("my_grouped_query")
    assert report_variant(variant).is_broken
    # Any other use rejects it again.
    with pytest.raises(ConfigError, match="key_weight has -1 parameters"):
        find_workspace(workspace.root, environment={})


def test_it_is_matched_like_any_other(opened, tiny_config) -> None:
    baseline, gqa = declared_variants(sweep_with(tiny_config))
    assert gqa.matched_over == "d_head"
    row = match_rows(sweep_with(tiny_config), [gqa])[0]
    assert -0.02 < row["parameters_difference_fraction"] <= 0
    assert gqa.model.attention.d_head > baseline.model.attention.d_head
    _, wider = declared_variants(
        sweep_with(tiny_config, n_heads=None, d_head=4, match_over="n_heads")
    )
    assert wider.model.attention.n_heads % 2 == 0


def test_a_convention_without_its_costs_is_rejected(opened, tiny_config) -> None:
    tree = sweep_with(tiny_config).model_dump()
    message = 'convention="published" has no formula for my_grouped_query attention; use equations'
    with pytest.raises(ConfigError, match=message):
        parse(Sweep, {**tree, "convention": "published"}, "mine.toml")
    (_, model) = declared_variants(sweep_with(tiny_config))
    counters = [closed_form_counter("equations"), closed_form_counter("published")]
    summary = summarise_budget(model.model, counters, vocab_size=256)
    assert summary.costs.conventions == ["equations"]


def test_it_is_swept_and_reported(opened, tiny_config) -> None:
    record = run_sweep(opened, sweep_with(tiny_config), NoIndex(), lambda _text: None)
    assert [member.state for member in record.members] == ["finished", "finished"]
    report = write_report(Selection(record, ()), opened.runs_dir, opened.reports_dir)
    assert not report.incomplete
    assert "gqa" in (report.folder / "table.md").read_text()


def test_a_run_keeps_a_copy_of_the_plugin_and_reports_a_missing_one(opened, tiny_config) -> None:
    labels = RunLabels(size="tiny", variant="gqa")
    run = execute_run(opened, run_config(tiny_config), labels, index=NoIndex())
    kept = run.directory / "plugins" / "my_variants.py"
    assert kept.read_bytes() == PLUGIN.read_bytes()
    assert [plugin["name"] for plugin in run.provenance["plugins"]] == ["my_variants.py"]
    assert "plugin my_variants.py" in run.provenance["code"]["files"]
    plugins._unload("my_variants")
    rebuild_schemas()
    with pytest.raises(
        ConfigError, match="kind 'my_grouped_query'.*trained with a plugin, kept as"
    ):
        read_run(run.directory)
    errors: list[str] = []
    assert list_runs(opened.runs_dir, lambda error: errors.append(str(error))) == []
    assert len(errors) == 1
    # The copy can be used instead.
    again = with_plugins(opened, str(kept))
    assert read_run(run.directory).result == run.result
    assert execute_run(again, run_config(tiny_config), labels, index=NoIndex()).result == run.result


def test_a_changed_plugin_is_drift(opened, tiny_config, signals) -> None:
    labels = RunLabels(size="tiny", variant="gqa")

    class StopAt:
        def observe(self, point) -> None:
            if point.step == 3:
                raise KeyboardInterrupt

    config = run_config(tiny_config)
    with pytest.raises(KeyboardInterrupt):
        execute_run(opened, config, labels, index=NoIndex(), hooks=[StopAt()])
    with (opened.root / "my_variants.py").open("a") as file:
        file.write("\nCHANGED = True\n")
    changed = with_plugins(opened, "my_variants.py")
    config = run_config(tiny_config)
    with pytest.raises(DriftError, match="code: plugin my_variants.py changed"):
        execute_run(changed, config, labels, index=NoIndex())
    run = execute_run(changed, config, labels, index=NoIndex(), policy=ChangePolicy(True))
    assert run.result is not None
    first, second = (run.directory / "attempts" / n / "plugins/my_variants.py" for n in "12")
    assert first.read_bytes() != second.read_bytes()


def test_a_finished_run_of_a_changed_plugin_is_reused_only_if_asked(opened, tiny_config) -> None:
    labels = RunLabels(size="tiny", variant="gqa")
    run = execute_run(opened, run_config(tiny_config), labels, index=NoIndex())
    with (opened.root / "my_variants.py").open("a") as file:
        file.write("\nCHANGED = True\n")
    changed, config = with_plugins(opened, "my_variants.py"), run_config(tiny_config)
    with pytest.raises(CodeChangedError, match="plugin my_variants.py changed"):
        execute_run(changed, config, labels, index=NoIndex())
    policy = ChangePolicy(reuses=True)
    kept = execute_run(changed, config, labels, index=NoIndex(), policy=policy)
    assert (kept.result, kept.status.attempt) == (run.result, 1)


def test_modules_beside_a_plugin_are_kept_and_count_as_its_code(
    workspace, tiny_config, monkeypatch
) -> None:
    monkeypatch.syspath_prepend(workspace.root)
    (workspace.root / "my_sizes.py").write_text("LARGEST = 3\n")
    (workspace.root / "my_variants.py").write_text(f"import my_sizes\n{PLUGIN.read_text()}")
    opened = with_plugins(workspace, "my_variants.py")
    labels = RunLabels(size="tiny", variant="gqa")
    run = execute_run(opened, run_config(tiny_config), labels, index=NoIndex())
    assert (run.directory / "plugins" / "my_sizes.py").read_text() == "LARGEST = 3\n"
    assert "plugin my_sizes.py" in run.provenance["code"]["files"]
    assert not (run.directory / "plugins" / "json.py").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1\n", "registers no variant"),
        ("import nothing_of_this_name\n", "line 1: ModuleNotFoundError"),
        ("def (:\n", "line 1: SyntaxError"),
        ("raise RuntimeError('no')\n", "line 1: RuntimeError: no"),
    ],
)
def test_an_unusable_plugin_is_one_error(workspace, text: str, message: str) -> None:
    (workspace.root / "broken_plugin.py").write_text(text)
    with pytest.raises(ConfigError, match="broken_plugin.py") as raised:
        with_plugins(workspace, "broken_plugin.py")
    assert message in str(raised.value)
    assert str(raised.value).startswith(f"{workspace.root / 'lab.toml'}: plugins: ")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            ('Literal["my_grouped_query"] = "my_grouped_query"', 'Literal["moa"] = "moa"'),
            "already registered",
        ),
        (("def parameter_parts", "def parts"), "lacks parameter_parts"),
        (('SizeField("d_head")', 'SizeField("width")'), "sizes names unknown fields: width"),
        (
            ('SizeField("n_heads", step="n_groups", smallest="n_groups")', 'SizeField("n_heads")'),
            "GroupedQueryAttention breaks the contract of variants: sizes accept their values: "
            "n_heads=1 is rejected: n_heads=1 is not a multiple of n_groups=2",
        ),
        (
            ("GroupedQueryAttention(AttentionVariant)", "GroupedQueryAttention(object)"),
            "derive it from",
        ),
    ],
)
def test_a_variant_that_breaks_the_rules_is_rejected(workspace, change, message: str) -> None:
    text = PLUGIN.read_text()
    assert change[0] in text
    (workspace.root / "my_variants.py").write_text(text.replace(*change))
    with pytest.raises(ConfigError, match="my_variants.py") as raised:
        with_plugins(workspace, "my_variants.py")
    assert message in str(raised.value)


@pytest.mark.parametrize("name", ["missing.py", "json.py", "no_such_module", "a-b.py", "json"])
def test_an_unloadable_name_is_one_error(workspace, name: str) -> None:
    if name != "missing.py" and name.endswith(".py"):
        (workspace.root / name).write_text("x = 1\n")
    with pytest.raises(ConfigError, match="plugins: "):
        with_plugins(workspace, name)
    assert sys.modules["json"] is json


def test_a_built_in_kind_cannot_be_replaced(workspace) -> None:
    text = PLUGIN.read_text().replace('"my_grouped_query"', '"moa"')
    text = text.replace("GroupedQueryAttention", "MoaAttention")
    (workspace.root / "my_variants.py").write_text(text)
    with pytest.raises(ConfigError, match='kind "moa" is already registered'):
        with_plugins(workspace, "my_variants.py")


def test_wrongly_counted_parameters_are_rejected_before_anything_is_trained(
    workspace, tiny_config
) -> None:
    text = PLUGIN.read_text().replace('"key_weight": G * P * D', '"key_weight": G * P * D + 1')
    (workspace.root / "my_variants.py").write_text(text)
    opened = with_plugins(workspace, "my_variants.py")
    with pytest.raises(ContractError, match="its variants count .*lab check-variant my_grouped"):
        run_sweep(opened, sweep_with(tiny_config), NoIndex(), lambda _text: None)
    assert not list_runs(opened.runs_dir)
