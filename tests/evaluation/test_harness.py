"""What lm-evaluation-harness makes of our models and tasks."""

import subprocess
import sys
from pathlib import Path

import datasets
import lm_eval.tasks
import pytest
import torch
import yaml
from lm_eval.api.instance import Instance
from lm_eval.api.registry import get_model
from lm_eval.api.task import ConfigurableTask
from lm_eval.evaluator import evaluate

from switchhead_lab.evaluation.documents.cbt import BLANK
from switchhead_lab.evaluation.harness import MODEL_NAME, HarnessModel, run_task
from switchhead_lab.evaluation.tasks import TASKS, find_tasks
from switchhead_lab.evaluation.until import generate_until
from switchhead_lab.trained.generation import TokenReader

HARNESS = Path(lm_eval.tasks.__file__).parent
# What says where documents come from, how they are listed, and nothing about the score.
SOURCES = {
    *("dataset_path", "dataset_name", "tag", "include", "should_decontaminate"),
    "doc_to_decontamination_query",
}
PAIRS = [
    ("The cat sleeps.", "The cat sleep."),
    ("Dogs bark.", "Dogs barks."),
    ("She sees him.", "She sees he."),
    ("We are here.", "We is here."),
    ("It was given.", "It was gave."),
    ("This law is good.", "This laws is good."),
    ("An hour passed.", "A hour passed."),
    ("They help themselves.", "They help itself."),
    ("There are men.", "There is men."),
    ("No man ever came.", "Some man ever came."),
]


def request(*arguments: object) -> Instance:
    return Instance("loglikelihood", {}, arguments, 0)


@torch.inference_mode()
def log_likelihood(model, text: str) -> float:
    """Return the log-likelihood of a whole text, token by token."""
    reader = TokenReader(model.next_token)
    reader.read(model.prefix)
    nats = 0.0
    for token in model.encode(text):
        nats += float(reader.predict().log_softmax(0)[token])
        reader.read(token)
    return nats


def harness_config(path: Path) -> dict[str, object]:
    config = yaml.safe_load(path.read_text())
    if "include" in config:
        config = harness_config(path.parent / config["include"]) | config
    return {key: value for key, value in config.items() if key not in SOURCES}


@pytest.mark.parametrize("task", [task for task in TASKS if task.name.startswith("blimp_")][::9])
def test_blimp_is_the_harnesss_task(task) -> None:
    file = HARNESS / "blimp" / f"{task.name.removeprefix('blimp_')}.yaml"
    assert harness_config(file) == task.config


def test_every_set_of_blimp_is_one_of_the_harness() -> None:
    theirs = yaml.safe_load((HARNESS / "blimp/_blimp.yaml").read_text())["task"]
    assert sorted(theirs) == sorted(task.name for task in find_tasks(["blimp"]))


def test_lambada_is_the_harnesss_task() -> None:
    (task,) = find_tasks(["lambada_openai"])
    assert harness_config(HARNESS / "lambada/lambada_openai.yaml") == task.config


def test_minimal_pairs_are_scored_as_by_hand(make_model) -> None:
    model = make_model("switchhead")
    documents = [{"sentence_good": good, "sentence_bad": bad} for good, bad in PAIRS]
    samples = run_task(model, find_tasks(["blimp_wh_island"])[0], documents)
    assert [sample.number for sample in samples] == list(range(10))
    for sample, (good, bad) in zip(samples, PAIRS, strict=True):
        by_hand = [log_likelihood(model, f" {sentence}") for sentence in (good, bad)]
        assert sample.nats == pytest.approx(by_hand, abs=1e-4)
        assert sample.metrics == {"acc": float(by_hand[0] > by_hand[1])}
    assert 0 < sum(sample.metrics["acc"] for sample in samples) < 10


def test_outcomes_are_those_of_the_harnesss_own_log(make_model) -> None:
    model = make_model()
    (task,) = find_tasks(["blimp_wh_island"])
    documents = [{"sentence_good": good, "sentence_bad": bad} for good, bad in PAIRS]
    split = datasets.Dataset.from_list(documents)
    theirs = ConfigurableTask(
        config={**task.config, "custom_dataset": lambda **_: {"train": split}}
    )
    logged = evaluate(
        HarnessModel(model),
        {"tasks": {task.name: theirs}, "groups": {}, "group_map": {}},
        bootstrap_iters=0,
    )["samples"][task.name]
    for sample, log in zip(run_task(model, task, documents), logged, strict=True):
        assert sample.number == log["doc_id"]
        assert sample.metrics == {"acc": log["acc"]}
        assert sample.nats == [nats for ((nats, _),) in log["resps"]]


def test_a_text_that_begins_with_the_prefix_is_not_given_another(make_model) -> None:
    model = make_model()
    harness = HarnessModel(model)
    (twice,), (once,) = (harness.loglikelihood([request("", text)]) for text in ("\0ab", "ab"))
    assert twice == once


def test_the_whole_completed_query_of_a_cloze_is_scored(make_model) -> None:
    model = make_model()
    words = [f"word{number}" for number in range(10)]
    document = {
        "context": "one two .",
        "query": f"the {BLANK} ended .",
        "candidates": words,
        "answer": 3,
    }
    (sample,) = run_task(model, find_tasks(["cbt_cn"])[0], [document])
    context = log_likelihood(model, "one two .")
    expected = [log_likelihood(model, f"one two . the {word} ended .") - context for word in words]
    assert sample.nats == pytest.approx(expected, abs=1e-4)
    assert sample.metrics["acc"] == float(max(expected) == expected[3])


def test_the_last_word_is_scored_after_the_passage(make_model) -> None:
    model = make_model()
    (sample,) = run_task(model, find_tasks(["lambada_openai"])[0], [{"text": "a b word"}])
    expected = log_likelihood(model, "a b word") - log_likelihood(model, "a b")
    assert sample.metrics["perplexity"] == pytest.approx(expected, abs=1e-4)
    assert sample.metrics["acc"] == float(sample.is_greedy[0])


@pytest.mark.parametrize(
    ("name", "document"),
    [
        ("blimp_wh_island", {"sentence_good": "It's 'so'.", "sentence_bad": 'It "is" {so}.'}),
        ("lambada_openai", {"text": "one  two three's"}),
        (
            "cbt_cn",
            {
                "context": 'He said "no" .',
                "query": f"the {BLANK} .",
                "candidates": [f"w{number}" for number in range(10)],
                "answer": 7,
            },
        ),
    ],
)
def test_functions_ask_what_the_templates_ask(
    make_model, monkeypatch, name: str, document: dict[str, object]
) -> None:
    (task,) = find_tasks([name])
    model, asked = make_model(), []
    original = HarnessModel.loglikelihood

    def spy(self, requests, disable_tqdm=False):
        asked.append([(request.args, request.doc_id) for request in requests])
        return original(self, requests, disable_tqdm)

    monkeypatch.setattr(HarnessModel, "loglikelihood", spy)
    compiled = run_task(model, task, [document])
    monkeypatch.setattr(type(task), "compiled_config", task.config)
    assert run_task(model, task, [document]) == compiled
    assert asked[0] == asked[1]


def test_a_piece_across_the_boundary_belongs_to_the_continuation(make_model) -> None:
    model = make_model()
    pieces = {"ab": [1], "a": [2], "b": [3], "cab": [4, 1], "ca": [4, 2]}
    object.__setattr__(model, "encode_all", lambda texts: [pieces[text] for text in texts])
    harness = HarnessModel(model)
    assert harness._encode_pairs([("ca", "b"), ("a", "b")]) == [([4], [1]), ([], [1])]
    assert harness.loglikelihood([request("a", "b")], disable_tqdm=True)[0][0] < 0.0


def test_trailing_spaces_belong_to_the_continuation(make_model) -> None:
    ((context, continuation),) = HarnessModel(make_model())._encode_pairs([("a  ", "b")])
    assert bytes(context) == b"a"
    assert bytes(continuation) == b"  b"


@pytest.mark.parametrize("positions", ["xl", "rope"])
def test_rolling_scores_the_whole_text(make_model, positions: str) -> None:
    model = make_model("dense", positions)
    text = "some words, and again some words, and more" * 2
    (found,) = HarnessModel(model).loglikelihood_rolling([request(text)])
    if positions == "xl":
        assert found == pytest.approx(log_likelihood(model, text), abs=2e-4)
    else:
        assert found < 0.0


def test_generation_stops_before_the_first_stop_text(make_model) -> None:
    model = make_model()
    whole = generate_until(model, "ab", {"max_gen_toks": 12})
    assert len(model.encode(whole)) >= 4
    stop = whole[2:4]
    cut = HarnessModel(model).generate_until([request("ab", {"until": [stop]})])
    assert cut == [whole[: whole.index(stop)]]
    sampled = {"do_sample": True, "temperature": 2.0, "max_gen_toks": 12}
    assert generate_until(model, "ab", sampled) == generate_until(model, "ab", sampled)


def test_the_model_is_registered_by_name() -> None:
    assert get_model(MODEL_NAME) is HarnessModel


def test_harness_output_is_kept_from_the_terminal(make_model, capsys) -> None:
    documents = [{"sentence_good": "a", "sentence_bad": "b"}]
    run_task(make_model(), find_tasks(["blimp_wh_island"])[0], documents)
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "")


def test_the_task_list_does_not_load_the_harness_or_torch() -> None:
    program = (
        "import sys; import switchhead_lab.evaluation.tasks\n"
        "print({'torch', 'lm_eval', 'datasets'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "set()\n"
