import pytest
import torch

from switchhead_lab.data.batches import evaluation_token_batches
from switchhead_lab.errors import ConfigError, DataError, RecordError
from switchhead_lab.trained.generation import Sampling, generate
from switchhead_lab.trained.run import TrainedRun

GREEDY = Sampling(n_tokens=60, temperature=0.0)


@pytest.mark.parametrize(
    "attention", [pytest.param("dense", marks=pytest.mark.thorough), "switchhead"]
)
def test_greedy_text_is_the_likeliest_in_validation(train, attention: str) -> None:
    """The text spans several chunks, so memory must be carried as in validation too."""
    run = train(attention, training={"n_steps": 80, "validate_every": 80, "log_every": 80})
    prompt = "river stone lamp winter"
    ids = [0, *generate(run, prompt, GREEDY).encode()]
    assert len(ids) == 1 + len(prompt) + 60
    model, memory, likeliest = run.model(), (), []
    for batch in evaluation_token_batches(torch.tensor([*ids, 0]).numpy(), 1, 16):
        with torch.no_grad():
            output = model(torch.from_numpy(batch.inputs_BT), memory)
        memory = output.memory
        likeliest += output.logits_BTV[0].argmax(dim=-1).tolist()
    assert likeliest[len(prompt) : -1] == ids[1 + len(prompt) :]


def test_a_model_without_memory_sees_the_latest_tokens(train) -> None:
    run = train(model={"context_multiple": 1})
    model, ids = run.model(), [0, *b"river"]
    for _ in range(60):
        with torch.no_grad():
            logits_V = model(torch.tensor([ids[-16:]])).logits_BTV[0, -1]
        ids.append(int(logits_V.argmax()))
    assert generate(run, "river", GREEDY) == run.tokenizer().decode(ids)


def test_the_same_seed_gives_the_same_text(train) -> None:
    run = train()
    first = generate(run, "river", Sampling(seed=3))
    assert generate(run, "river", Sampling(seed=3)) == first
    assert generate(run, "river", Sampling(seed=4)) != first
    assert first.startswith("river")


def test_sampling_is_greedy_at_low_temperature_or_low_top_p(train) -> None:
    run = train()
    greedy = generate(run, "", GREEDY)
    assert generate(run, "", Sampling(60, temperature=1e-300)) == greedy
    assert generate(run, "", Sampling(60, top_p=1e-9)) == greedy


def test_top_p_keeps_the_smallest_set_with_that_probability(train, monkeypatch) -> None:
    run = train()
    probabilities = torch.full((256,), 1e-9)
    probabilities[ord("a")], probabilities[ord("b")], probabilities[ord("c")] = 0.5, 0.3, 0.2
    monkeypatch.setattr(
        "switchhead_lab.trained.generation.TokenReader.predict",
        lambda self: probabilities.double().log(),
    )

    def drawn(top_p: float) -> set[str]:
        return set(generate(run, "", Sampling(200, top_p=top_p)))

    assert drawn(0.4) == {"a"}
    assert drawn(0.7) == {"a", "b"}
    assert drawn(0.9) == {"a", "b", "c"}


def test_the_end_of_the_document_ends_the_text(train, monkeypatch) -> None:
    run = train()
    ends = run.model()
    with torch.no_grad():
        ends.output.bias[0] = 1e3
    monkeypatch.setattr(TrainedRun, "model", lambda *_: ends)
    assert generate(run, "river", Sampling()) == "river"


def test_unknown_characters_are_reported(train, capfd) -> None:
    run = train(data={"tokenizer": {"kind": "char", "vocab_size": 64}})
    assert generate(run, "\N{SNOWMAN} lamp", GREEDY).startswith("\N{REPLACEMENT CHARACTER} lamp")
    assert "1 of 6 tokens encode characters" in capfd.readouterr().err
    generate(run, "lamp", GREEDY)
    assert "warning" not in capfd.readouterr().err


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"n_tokens": 0}, "n_tokens = 0"),
        ({"temperature": -1.0}, "temperature = -1.0"),
        ({"temperature": float("nan")}, "temperature = nan"),
        ({"temperature": float("inf")}, "temperature = inf"),
        ({"top_p": 0.0}, "top_p = 0.0"),
        ({"top_p": 1.5}, "top_p = 1.5"),
        ({"temperature": 0.0, "top_p": 0.5}, "no effect at temperature = 0"),
        ({"seed": -1}, "seed = -1"),
    ],
)
def test_values_out_of_range_are_rejected(values: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Sampling(**values)


def test_classifiers_and_prompts_that_are_not_utf8_are_rejected(train, classifier) -> None:
    with pytest.raises(RecordError, match='objective.kind = "classification"'):
        generate(classifier, "1 2", Sampling())
    with pytest.raises(DataError, match="NUL"):
        generate(train(), "\0", Sampling())
    with pytest.raises(DataError, match=r"prompt 'caf\\udce9': not UTF-8"):
        generate(train(), "caf\udce9", Sampling())
