import json
import math
from pathlib import Path

import pytest

from switchhead_lab.data.documents import Document
from switchhead_lab.data.files_as_documents import read_documents
from switchhead_lab.data.token_store import register
from switchhead_lab.errors import ConfigError, DataError, RecordError
from switchhead_lab.trained.run import TrainedRun
from switchhead_lab.trained.scoring import TextScore, score_documents


def score(run: TrainedRun, *paths: Path, **options: object) -> TextScore:
    return score_documents(run, read_documents(list(map(str, paths)), run.config.data), **options)


def require_recorded_figures(run: TrainedRun, found: TextScore) -> None:
    result = run.record.result
    assert result is not None
    assert found.nats_per_token == pytest.approx(result.validation["loss_nats"], rel=1e-9)
    assert found.perplexity_per_token == pytest.approx(result.validation["perplexity"], rel=1e-9)
    assert found.bits_per_byte == pytest.approx(result.validation["bits_per_byte"], rel=1e-9)


def lines(first: int, n_lines: int) -> list[str]:
    words = ("river", "stone", "lamp", "winter", "bread")
    return [
        " ".join(words[(n * k) % 5] for k in range(1, 7)) for n in range(first, first + n_lines)
    ]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("attention", ["dense", "switchhead"])
def test_the_validation_text_has_the_recorded_loss(train, attention, precision, tmp_path) -> None:
    run = train(attention, training={"precision": precision})
    text = run.tokenizer().decode(run.dataset().tokens("validation"))
    path = tmp_path / "validation.txt"
    path.write_text(text, encoding="utf-8")
    require_recorded_figures(run, score(run, path))


@pytest.mark.parametrize("tokenizer", [{"kind": "char"}, {"kind": "sentencepiece"}])
def test_the_recorded_loss_is_reproduced_with_other_tokenizers(
    train, tokenizer, workspace, tmp_path
) -> None:
    folder = tmp_path / "split"
    folder.mkdir()
    for split, first, n_lines in (("train", 0, 600), ("validation", 600, 70), ("test", 700, 60)):
        text = "".join(f"{line} \u00e9{n}\r\n" for n, line in enumerate(lines(first, n_lines)))
        (folder / f"{split}.txt").write_text(text, encoding="utf-8", newline="")
    register(workspace.data_dir, folder, "split")
    run = train(data={"corpus": "split", "tokenizer": {**tokenizer, "vocab_size": 300}})
    require_recorded_figures(run, score(run, folder / "validation.txt"))


def test_the_recorded_loss_is_reproduced_with_many_documents(train, workspace, tmp_path) -> None:
    """Documents of JSONL files and of several text files."""
    folder = tmp_path / "documents"
    texts = {name: folder / name for name in ("train", "validation", "test")}
    for number, path in enumerate(texts.values()):
        path.mkdir(parents=True)
        for part in range(9):
            text = "\n".join(lines(100 * number + 10 * part, 10))
            (path / f"{part}.txt").write_text(text, encoding="utf-8")
    register(workspace.data_dir, folder, "folder")
    run = train(data={"corpus": "folder"})
    parts = sorted(texts["validation"].glob("*.txt"))
    found = score(run, *parts)
    assert found.n_documents == 9
    require_recorded_figures(run, found)
    path = tmp_path / "validation.jsonl"
    rows = [json.dumps({"text": part.read_text(encoding="utf-8")}) for part in parts]
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    require_recorded_figures(run, score(run, path))


def test_the_recorded_loss_is_reproduced_with_wikitext_articles(train, workspace, tmp_path) -> None:
    folder = tmp_path / "wikitext"
    folder.mkdir()
    for split, first in (("train", 0), ("valid", 300), ("test", 600)):
        articles = [f" \n = Title {n} = \n \n {line} \n" for n, line in enumerate(lines(first, 40))]
        (folder / f"wiki.{split}.tokens").write_text("".join(articles), encoding="utf-8")
    register(workspace.data_dir, folder, "wikitext103")
    run = train(data={"corpus": "wikitext103"})
    found = score(run, folder / "wiki.valid.tokens")
    assert found.n_documents == 40
    require_recorded_figures(run, found)


def test_figures_are_consistent(train, tmp_path) -> None:
    run = train()
    path = tmp_path / "text.txt"
    path.write_text("river stone\nlamp \u00e9t\u00e9 " * 40, encoding="utf-8")
    found = score(run, path)
    assert (found.n_words, found.n_bytes, found.n_documents) == (160, 40 * 23, 1)
    assert found.n_tokens == found.n_bytes
    assert found.total_nats == pytest.approx(found.nats_per_token * found.n_tokens)
    assert found.bits_per_byte == pytest.approx(found.total_nats / math.log(2) / found.n_bytes)
    assert found.perplexity_per_token == pytest.approx(math.exp(found.nats_per_token))
    assert found.perplexity_per_word == pytest.approx(math.exp(found.total_nats / 160))


def test_one_stream_sees_more_context_of_a_short_text(train, tmp_path, capfd) -> None:
    run = train(training={"n_steps": 60, "validate_every": 60, "checkpoint_every": 60})
    path = tmp_path / "text.txt"
    path.write_text("river winter music horse\n", encoding="utf-8")
    streams = score(run, path)
    assert "a batch size of 1 reads the text in one piece" in capfd.readouterr().err
    whole = score(run, path, batch_size=1)
    assert "warning" not in capfd.readouterr().err
    assert whole.n_tokens == streams.n_tokens == 25
    assert whole.nats_per_token != streams.nats_per_token


def test_unusable_texts_are_rejected(train, classifier, tmp_path) -> None:
    run = train()
    blank = tmp_path / "blank.jsonl"
    blank.write_text('{"text": " "}\n', encoding="utf-8")
    binary = tmp_path / "binary.txt"
    binary.write_bytes(b"a\0b")
    latin = tmp_path / "latin.txt"
    latin.write_bytes(b"caf\xe9")
    for path, message in [
        (blank, "no text"),
        (binary, "binary, not text"),
        (latin, "not UTF-8"),
        (tmp_path, "a folder"),
        (tmp_path / "missing.txt", "No such file"),
    ]:
        with pytest.raises(DataError, match=message):
            score(run, path)
    with pytest.raises(DataError, match=r'"-" is given 2 times'):
        read_documents(["-", "-"], run.config.data)
    documents = [Document("a", "some text")]
    with pytest.raises(ConfigError, match="batch_size = 0"):
        score_documents(run, documents, batch_size=0)
    with pytest.raises(RecordError, match='objective.kind = "classification"'):
        score_documents(classifier, documents)
