"""The Hub's files in a local mirror: no test needs the network."""

import gzip
import json
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from switchhead_lab.data import hub
from switchhead_lab.data.documents import SPLITS
from switchhead_lab.data.hub import SOURCES, read_hub_corpus
from switchhead_lab.data.jsonl import BadLines
from switchhead_lab.data.published import read_local
from switchhead_lab.errors import DataError


def texts_of(corpus) -> dict[str, list[str]]:
    return {split: [document.text for document in corpus.splits[split]] for split in SPLITS}


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_network) -> Path:
    """A folder that replaces the Hub, with two shards of each published split."""
    root = tmp_path / "hub"
    monkeypatch.setattr(hub, "ROOT", str(root))
    for name in ("c4", "pes2o"):
        for split, pattern in SOURCES[name].patterns.items():
            for shard in "01":
                middle = "0000" + shard + ("-of-00020" if name == "pes2o" else "")
                path = root / SOURCES[name].repository / pattern.replace("*", middle)
                path.parent.mkdir(parents=True, exist_ok=True)
                with gzip.open(path, "wt", encoding="utf-8") as file:
                    for n in range(2):
                        file.write(json.dumps({"text": f"{split} {shard}{n}\n"}) + "\n")
    return root


@pytest.mark.parametrize("name", ["c4", "pes2o"])
def test_json_lines_are_streamed_in_order_and_validation_is_halved(mirror: Path, name, no_network):
    assert texts_of(read_hub_corpus(name)) == {
        "train": [f"train {n}\n" for n in ("00", "01", "10", "11")],
        "validation": ["validation 00\n", "validation 10\n"],
        "test": ["validation 01\n", "validation 11\n"],
    }
    assert no_network == []


def test_wikitext_is_the_same_as_from_local_files(mirror: Path, tmp_path: Path, no_network):
    lines = [" \n", " = A = \n", " \n", " Text . \n", " \n", " = B = \n", " \n", " More . \n"]
    local = tmp_path / "wikitext-103"
    local.mkdir()
    for split, word in (("train", "train"), ("validation", "valid"), ("test", "test")):
        (local / f"wiki.{word}.tokens").write_text("".join(lines), encoding="utf-8")
        pattern = SOURCES["wikitext103"].patterns[split]
        path = mirror / "Salesforce/wikitext" / pattern.replace("*", "00000-of-00001")
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = pyarrow.table({"text": ["" if line == " \n" else line for line in lines]})
        pyarrow.parquet.write_table(rows, path)
    streamed = texts_of(read_hub_corpus("wikitext103"))
    assert streamed == texts_of(read_local("wikitext103", local, BadLines()))
    assert len(streamed["train"]) == 2
    assert no_network == []


def test_streaming_switches_telemetry_off(mirror: Path, monkeypatch: pytest.MonkeyPatch):
    import datasets
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_TELEMETRY", False)
    monkeypatch.setattr(datasets.config, "HF_UPDATE_DOWNLOAD_COUNTS", True)
    next(iter(read_hub_corpus("c4").splits["train"]))
    assert huggingface_hub.constants.HF_HUB_DISABLE_TELEMETRY is True
    assert datasets.config.HF_UPDATE_DOWNLOAD_COUNTS is False


@pytest.mark.parametrize("name", ["wikitext103", "c4", "pes2o"])
def test_without_network_one_error_says_what_was_tried_and_what_to_do(name, no_network):
    corpus = read_hub_corpus(name)
    assert no_network == []
    with pytest.raises(DataError) as caught:
        next(iter(corpus.splits["train"]))
    message = str(caught.value)
    assert message.startswith(f'corpus "{name}": no local files are registered, and streaming hf')
    assert SOURCES[name].repository in message
    assert f"`lab data prepare PATH --name {name}`" in message
    assert no_network
    assert "\n" not in message


def test_enwik8_is_never_fetched(no_network):
    with pytest.raises(DataError, match="local file only: the first 100,000,000 bytes of an Engl"):
        read_hub_corpus("enwik8")
    assert no_network == []
