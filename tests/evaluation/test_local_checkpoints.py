"""Local Hugging Face checkpoints, evaluated like runs."""

import json
import socket
from pathlib import Path

import pytest
import torch

from switchhead_lab.errors import RecordError
from switchhead_lab.evaluation.evaluated import find_evaluated
from switchhead_lab.evaluation.language_models import LanguageModel, model_of_checkpoint
from switchhead_lab.evaluation.sequence_scoring import Scoring, score_sequences

transformers = pytest.importorskip("transformers")
WORDS = ["[END]", "[UNK]", *["the", "law", "keeps", "makes", "we", "they", "of", "a", "and"]]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a tiny model with a tokenizer of words."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import WhitespaceSplit

    folder = tmp_path_factory.mktemp("hf") / "tiny"
    vocabulary = {word: number for number, word in enumerate(WORDS)}
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = WhitespaceSplit()
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="[END]", unk_token="[UNK]"
    ).save_pretrained(folder)
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=len(WORDS),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=600,
        initializer_range=0.5,
    )
    transformers.LlamaForCausalLM(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def model(checkpoint: Path) -> LanguageModel:
    return model_of_checkpoint(checkpoint, device="cpu")


@torch.inference_mode()
def direct(checkpoint: Path, scoring: Scoring) -> float:
    """Return the likelihood of a continuation from one forward pass of transformers."""
    model = transformers.AutoModelForCausalLM.from_pretrained(checkpoint).eval()
    logits = model(torch.tensor([scoring.tokens])).logits[0].log_softmax(-1)
    return sum(
        float(logits[place - 1, token])
        for place, token in enumerate(scoring.tokens)
        if place >= scoring.n_context
    )


def test_batches_give_what_one_forward_pass_gives(checkpoint, model) -> None:
    generator = torch.Generator().manual_seed(1)
    shared = torch.randint(2, len(WORDS), (300,), generator=generator).tolist()
    given = [
        Scoring([0, 2, 3, 4], 1),
        Scoring([0, *shared[:40]], 30),
        *(Scoring([0, *shared, *range(2, 2 + extra)], 301) for extra in (1, 3, 7)),
    ]
    found = [one.nats for one in score_sequences(model.next_token, given)]
    assert found == pytest.approx([direct(checkpoint, one) for one in given], abs=1e-4)


def test_its_tokenizer_and_ends_are_used(model) -> None:
    assert (model.name, model.prefix, model.end) == ("tiny", 0, 0)
    assert model.encode("the law") == [2, 3]
    assert model.decode([2, 3]) == "the law"
    assert model.next_token.window == 600


def test_other_weights_have_another_identity(checkpoint, model, tmp_path: Path) -> None:
    assert model_of_checkpoint(checkpoint, device="cpu").weights_id == model.weights_id
    changed = transformers.AutoModelForCausalLM.from_pretrained(checkpoint)
    with torch.no_grad():
        changed.lm_head.weight[0, 0] += 1.0
    changed.save_pretrained(tmp_path)
    transformers.AutoTokenizer.from_pretrained(checkpoint).save_pretrained(tmp_path)
    assert model_of_checkpoint(tmp_path, device="cpu").weights_id != model.weights_id


@pytest.mark.parametrize(
    ("remove", "expected"),
    [
        ("config.json", "no Hugging Face checkpoint"),
        ("model.safetensors", "cannot be loaded by transformers"),
    ],
)
def test_an_incomplete_folder_is_named(checkpoint, tmp_path, remove: str, expected: str) -> None:
    for path in checkpoint.iterdir():
        if path.name != remove:
            (tmp_path / path.name).write_bytes(path.read_bytes())
    with pytest.raises(RecordError, match=expected):
        model_of_checkpoint(tmp_path, device="cpu")


def test_no_code_of_the_folder_is_executed(checkpoint, tmp_path, monkeypatch) -> None:
    for path in checkpoint.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    config = json.loads((tmp_path / "config.json").read_text())
    classes = {"AutoConfig": "own.OwnConfig", "AutoModelForCausalLM": "own.OwnModel"}
    config |= {"model_type": "own", "auto_map": classes}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "own.py").write_text(f"open({str(tmp_path / 'executed')!r}, 'w')\n")
    monkeypatch.setattr("builtins.input", lambda _prompt: "y")  # if anyone asked
    with pytest.raises(RecordError, match="cannot be loaded by transformers"):
        model_of_checkpoint(tmp_path, device="cpu")
    assert not (tmp_path / "executed").exists()


def test_nothing_is_fetched(checkpoint, monkeypatch) -> None:
    def resolve(*arguments, **_options) -> None:
        pytest.fail(f"a host name was resolved: {arguments[0]}")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    assert model_of_checkpoint(checkpoint, device="cpu").name == "tiny"


def test_its_results_are_in_the_workspace(checkpoint, workspace, monkeypatch) -> None:
    monkeypatch.setenv("LAB_HOME", str(workspace.root))
    found = find_evaluated(f"hf:{checkpoint}")
    assert found.name == "hf:tiny"
    assert found.directory == workspace.runs_dir / "evaluations" / "tiny"
