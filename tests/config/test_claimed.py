"""What claims measure: metrics of splits and of zero-shot tasks, and one error for each mistake."""

import re
from typing import Any

import pytest
from tiny_sweep import DECLARATION

from switchhead_lab.config.claimed import TaskQuantity
from switchhead_lab.config.files import parse
from switchhead_lab.config.sweep import Sweep
from switchhead_lab.errors import ConfigError
from switchhead_lab.tracking.sweep_record import sweep_id


def sweep_with(metric: str, tasks: list[str] | None, **changes: Any) -> Sweep:
    quality = {"metric": metric, "margin": 0.01}
    tree = {**DECLARATION, "claims": [{"model": "two-heads", "quality": quality}], **changes}
    return parse(Sweep, tree if tasks is None else {**tree, "evaluation": {"tasks": tasks}}, "file")


def quantity(metric: str, tasks: list[str]) -> TaskQuantity:
    sweep = sweep_with(metric, tasks)
    found = sweep.quantity_of(sweep.claims[0].quality)
    assert isinstance(found, TaskQuantity)
    return found


def test_the_mean_of_a_group_is_over_all_its_tasks() -> None:
    found = quantity("evaluation/blimp/accuracy", ["paper"])
    assert (found.name, len(found.tasks), found.label) == ("blimp", 67, "blimp accuracy")
    assert not found.metric.lower_is_better
    assert found.metric.text(0.0125) == "1.25 %"
    pairs = quantity("evaluation/pocket_minimal_pairs/accuracy", ["pocket_minimal_pairs"])
    assert (len(pairs.tasks), pairs.label) == (12, "pocket minimal pairs accuracy")


def test_a_task_of_a_group_and_a_perplexity_may_be_claimed() -> None:
    one = quantity("evaluation/blimp_wh_island/accuracy", ["pocket", "blimp"])
    assert one.tasks == ("blimp_wh_island",)
    words = quantity("evaluation/pocket_last_word/perplexity", ["pocket"])
    assert (words.tasks, words.metric.lower_is_better) == (("pocket_last_word",), True)


def test_a_claim_about_an_evaluation_continues_the_same_sweep() -> None:
    claimed = sweep_with("evaluation/blimp/accuracy", ["blimp"])
    assert sweep_id(claimed) == sweep_id(parse(Sweep, DECLARATION, "file"))


@pytest.mark.parametrize(
    ("metric", "tasks", "message"),
    [
        (
            "evaluation/blimp/accuracy",
            ["pocket_last_word"],
            ': evaluation.tasks = ["pocket_last_word"] does not ask for blimp; add "blimp" to it, '
            "or use one of evaluation/pocket_last_word/accuracy, "
            "evaluation/pocket_last_word/perplexity",
        ),
        (
            "evaluation/blimp/accuracy",
            ["blimp_wh_island", "blimp_transitive"],
            ': evaluation.tasks = ["blimp_wh_island", "blimp_transitive"] does not ask for blimp '
            '(2 of its 67 tasks); add "blimp" to it, or use one of '
            "evaluation/blimp_transitive/accuracy, evaluation/blimp_wh_island/accuracy",
        ),
        (
            "evaluation/blimp/accuracy",
            None,
            ": the sweep evaluates no zero-shot task; add an [evaluation] table with "
            'tasks = ["blimp"]',
        ),
        (
            "evaluation/pocket_minimal_pair/accuracy",
            ["pocket_minimal_pairs"],
            ' (did you mean "evaluation/pocket_minimal_pairs/accuracy"?): no such metric; use one '
            "of evaluation/pocket_minimal_pairs/accuracy",
        ),
        (
            "evaluation/blimp/perplexity",
            ["blimp"],
            ": no such metric; use one of evaluation/blimp/accuracy",
        ),
        (
            "evaluation/blmp/accuracy",
            None,
            ' (did you mean "evaluation/blimp/accuracy"?): no such metric; use '
            "evaluation/<task>/accuracy, with the task in an [evaluation] table",
        ),
        (
            "evaluation/pocket/accuracy",
            ["pocket_last_word"],
            ": pocket is a suite of different tasks and has no mean; use one of evaluation/pocket_",
        ),
        ("evaluation", ["pocket"], ": no such metric; use one of evaluation/pocket_last_word/"),
        (
            "evaluaton/blimp/accuracy",
            ["blimp"],
            ' (did you mean "evaluation/blimp/accuracy"?): use one of validation/loss, ',
        ),
    ],
)
def test_a_metric_that_no_evaluation_gives_is_one_error(
    metric: str, tasks: list[str] | None, message: str
) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)) as caught:
        sweep_with(metric, tasks)
    assert str(caught.value).startswith(f'file: claims: quality.metric = "{metric}"')
    assert "\n" not in str(caught.value)


def test_unknown_tasks_are_named_with_their_field() -> None:
    message = 'file: evaluation.tasks: no task "blmp" (did you mean "blimp"?)'
    with pytest.raises(ConfigError, match=re.escape(message)):
        parse(Sweep, {**DECLARATION, "evaluation": {"tasks": ["blmp"]}}, "file")


def test_only_language_models_are_evaluated() -> None:
    data = {"kind": "listops", "n_train": 8, "n_validation": 4, "n_test": 4}
    model = {**DECLARATION["model"], "seq_len": 64, "context_multiple": 1}
    changes = {"data": data, "model": model, "objective": {"kind": "classification"}}
    with pytest.raises(ConfigError, match="zero-shot tasks need a language model"):
        parse(Sweep, {**DECLARATION, **changes, "evaluation": {"tasks": ["pocket"]}}, "file")
