import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from exported_models import MODELS, SENTENCEPIECE, TEXT

import switchhead_lab
from switchhead_lab.data.encoding import encode_text
from switchhead_lab.errors import RecordError
from switchhead_lab.export.hugging_face import _ATTENTION_KINDS, _FEEDFORWARD_KINDS
from switchhead_lab.trained.exporting import export_run
from switchhead_lab.trained.generation import Sampling, generate
from switchhead_lab.trained.opened_run import OpenedRun


@pytest.fixture(autouse=True)
def _own_module_cache(tmp_path, monkeypatch) -> None:
    """Let transformers copy the code of exports into the test's folder."""
    cache = str(tmp_path / "modules")
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", cache)
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name in [name for name in sys.modules if name.startswith("transformers_modules")]:
        monkeypatch.delitem(sys.modules, name)


def load(folder: Path) -> tuple[Any, Any]:
    """Return an export's model and tokenizer, by transformers."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=True)
    return model, AutoTokenizer.from_pretrained(folder, trust_remote_code=True)


@torch.no_grad()
def expected_logits(run: OpenedRun, ids: torch.Tensor) -> torch.Tensor:
    """Return our logits of a text, chunk by chunk with memory."""
    model, memory, logits = run.model(), (), []
    for chunk in ids.split(run.config.model.seq_len, dim=1):
        output = model(chunk, memory)
        memory = output.memory
        logits.append(output.logits_BTV)
    return torch.cat(logits, dim=1)


def test_every_kind_with_a_definition_is_compared() -> None:
    for block, kinds in (("attention", _ATTENTION_KINDS), ("feedforward", _FEEDFORWARD_KINDS)):
        compared = {model[block]["kind"] for model in MODELS.values() if block in model}
        assert {*compared, "dense"} == {*kinds}


@pytest.mark.parametrize("name", MODELS)
def test_logits_and_greedy_text_are_ours(train, tmp_path, name: str) -> None:
    run = train(model=MODELS[name], training={"learning_rate": 0.1})
    # A folder is named after its run, with dots, which Python modules cannot have.
    folder, _ = export_run(run, tmp_path / f"{run.name}-hf", format="hf")
    model, tokenizer = load(folder)
    ids = torch.tensor([list(TEXT.encode()), list(TEXT.encode())[::-1]])
    assert ids.shape[1] > 4 * run.config.model.seq_len
    with torch.no_grad():
        logits = model(ids).logits
    torch.testing.assert_close(logits, expected_logits(run, ids), atol=1e-5, rtol=1e-5)
    with torch.no_grad():
        torch.testing.assert_close(model(ids[:, :16]).logits, logits[:, :16], atol=1e-5, rtol=0)
    written = model.generate(
        **tokenizer("river lamp", return_tensors="pt"), max_new_tokens=30, do_sample=False
    )
    text = generate(run, "river lamp", Sampling(n_tokens=30, temperature=0.0), device="cpu")
    assert tokenizer.decode(written[0], skip_special_tokens=True) == text


@pytest.mark.parametrize(
    "tokenizer", [{"kind": "byte"}, {"kind": "char", "vocab_size": 40}, SENTENCEPIECE]
)
def test_the_tokenizer_is_ours(train, prose, tmp_path, tokenizer) -> None:
    from transformers import AutoTokenizer

    run = train(data={"corpus": prose, "tokenizer": tokenizer})
    _, theirs = load(export_run(run, tmp_path / "hf", format="hf")[0])
    ours = run.tokenizer()
    theirs.save_pretrained(tmp_path / "again")
    again = AutoTokenizer.from_pretrained(tmp_path / "again", trust_remote_code=True)
    for text in ("bake lomi\nnura  seto", "\u2581 caf\u00e9 </s> <0x00>", " ba\n\n", ""):
        ids = encode_text(text, ours).tolist()
        for found in (theirs, again):
            assert found(text)["input_ids"] == [ours.end_of_document, *ids]
            assert found(text, add_special_tokens=False)["input_ids"] == ids
            assert found.decode(ids, skip_special_tokens=True) == ours.decode(ids)
            assert found.convert_tokens_to_ids(found.tokenize(text)) == ids
    end = ours.end_of_document
    assert theirs.decode([end, *ours.encode("ba").tolist(), end]) == (
        f"{theirs.eos_token}ba{theirs.eos_token}"
    )
    assert (theirs.eos_token_id, theirs.bos_token_id, len(theirs)) == (end, end, ours.vocab_size)


def test_texts_of_different_lengths_are_padded_on_the_right(train, tmp_path) -> None:
    run = train()
    model, tokenizer = load(export_run(run, tmp_path / "hf", format="hf")[0])
    texts = ["river", TEXT]
    batch = tokenizer(texts, return_tensors="pt", padding=True)
    with torch.no_grad():
        logits = model(**batch).logits
        alone = model(**tokenizer(texts[0], return_tensors="pt")).logits
    torch.testing.assert_close(logits[:1, : alone.shape[1]], alone, atol=1e-5, rtol=0)
    with pytest.raises(ValueError, match="padding before a text"):
        model(**tokenizer(texts, return_tensors="pt", padding=True, padding_side="left"))


def test_labels_give_the_mean_loss(train, tmp_path) -> None:
    run = train()
    model, _ = load(export_run(run, tmp_path / "hf", format="hf")[0])
    ids = torch.tensor([list(TEXT.encode())])
    log_p = expected_logits(run, ids)[0, :-1].log_softmax(-1)
    expected = -log_p.gather(-1, ids[0, 1:, None]).mean()
    assert float(model(ids, labels=ids).loss.detach()) == pytest.approx(float(expected), rel=1e-5)


def test_the_folder_is_also_an_export_of_the_lab(train, remove_workspace, tmp_path) -> None:
    run = train()
    expected = generate(run, "river", Sampling(), device="cpu")
    folder, manifest = export_run(run, tmp_path / "hf", format="hf")
    remove_workspace()
    assert generate(switchhead_lab.open_run(folder), "river", Sampling(), device="cpu") == expected
    assert manifest.format == "hf"
    assert json.loads((folder / "config.json").read_text())["auto_map"]
    assert (folder / "README.md").read_text(encoding="utf-8").startswith("---\nlibrary_name:")


def test_a_variant_without_definition_is_rejected(train, tmp_path, monkeypatch) -> None:
    run = train()
    monkeypatch.setattr("switchhead_lab.export.hugging_face._ATTENTION_KINDS", ("moa",))
    with pytest.raises(
        RecordError, match=r'model.attention.kind = "dense" has no definition .*--format lab'
    ):
        export_run(run, tmp_path / "hf", format="hf")
    assert not (tmp_path / "hf").exists()


def test_writing_does_not_import_transformers(train, tmp_path, monkeypatch) -> None:
    run = train()
    for name in [name for name in sys.modules if name.split(".")[0] == "transformers"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "transformers", None)  # importing it fails
    folder, _ = export_run(run, tmp_path / "hf", format="hf")
    assert (folder / "modeling_switchhead_lab.py").is_file()


PROGRAM = """
import sys
sys.modules["switchhead_lab"] = sys.modules["switchhead_kernels"] = None
import transformers.dynamic_module_utils as modules
modules.HF_MODULES_CACHE = sys.argv[2]
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
model = AutoModelForCausalLM.from_pretrained(sys.argv[1], trust_remote_code=True)
tokenizer = AutoTokenizer.from_pretrained(sys.argv[1], trust_remote_code=True)
logits = model(**tokenizer("river lamp bread music", return_tensors="pt")).logits
torch.save(logits.detach(), sys.argv[3])
"""


@pytest.mark.thorough
def test_the_lab_is_not_needed(train, tmp_path) -> None:
    run = train(model=MODELS["switchall"])
    folder, _ = export_run(run, tmp_path / "hf", format="hf")
    arguments = [str(folder), str(tmp_path / "modules"), str(tmp_path / "logits.pt")]
    subprocess.run([sys.executable, "-c", PROGRAM, *arguments], check=True, cwd=tmp_path)
    ids = torch.tensor([[0, *b"river lamp bread music"]])
    found = torch.load(tmp_path / "logits.pt")
    torch.testing.assert_close(found, expected_logits(run, ids), atol=1e-5, rtol=1e-5)
