"""The paper's corpora streamed from the Hugging Face Hub, where no local files are registered."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from switchhead_lab.config.identity import hash_of
from switchhead_lab.data.documents import SPLITS, Corpus, Document, DocumentStream, Split
from switchhead_lab.data.jsonl import BadLines, documents_of_lines, halve_documents
from switchhead_lab.data.published import ENWIK8_ORIGIN, PublishedName, articles
from switchhead_lab.errors import DataError

ROOT = "hf://datasets"


@dataclass(frozen=True)
class HubSource:
    """Location of a corpus on the Hub.

    Attributes:
        builder: Format of the files: "text" for JSON lines, "parquet" for WikiText's lines.
        repository: Owner, name and, if pinned, revision of the data set.
        patterns: Files of each published split.
    """

    builder: Literal["text", "parquet"]
    repository: str
    patterns: dict[Split, str]


SOURCES: dict[str, HubSource] = {
    # The word-level form, which the paper's code reads, not wikitext-103-raw-v1.
    "wikitext103": HubSource(
        "parquet",
        "Salesforce/wikitext",
        {split: f"wikitext-103-v1/{split}-*.parquet" for split in SPLITS},
    ),
    "c4": HubSource(
        "text",
        # The revision that the paper's code reads.
        "allenai/c4@1ddc917116b730e1859edef32896ec5c16be51d0",
        {
            "train": "en/c4-train.*-of-01024.json.gz",
            "validation": "en/c4-validation.*-of-00008.json.gz",
        },
    ),
    "pes2o": HubSource(
        "text",
        "allenai/peS2o",
        {"train": "data/v2/train-*.json.gz", "validation": "data/v2/validation-*.json.gz"},
    ),
}


def read_hub_corpus(name: PublishedName) -> Corpus:
    """Stream a published corpus; nothing is fetched before its documents are read.

    The SHA-256 of the source covers only its addresses: texts cannot be hashed in advance.

    Raises:
        DataError: If the corpus is not on the Hub.
    """
    if name not in SOURCES:
        raise DataError(
            f'corpus "{name}" is read from a local file only: {ENWIK8_ORIGIN}; give it with '
            f"`lab data prepare PATH --name {name}`"
        )
    source = SOURCES[name]

    def reader(split: Split) -> Callable[[], Iterator[Document]]:
        return lambda: _documents(name, split)

    streams = {split: DocumentStream(reader(split)) for split in source.patterns}
    if "test" not in streams:
        streams |= halve_documents(streams["validation"])
    addresses = {split: _address(source, split) for split in source.patterns}
    return Corpus(name, hash_of({**addresses}), streams)


def _documents(name: str, split: Split) -> Iterator[Document]:
    source = SOURCES[name]
    address = _address(source, split)
    rows = _rows(name, source.builder, address)
    if source.builder == "text":
        return documents_of_lines(rows, address, BadLines())
    # The Hub has "" for a blank line, the published files " \n".
    return articles((row or " \n" for row in rows), f"{name}-{split}")


def _address(source: HubSource, split: Split) -> str:
    return f"{ROOT}/{source.repository}/{source.patterns[split]}"


def _rows(name: str, builder: str, address: str) -> Iterator[str]:
    """Yield the field "text" of each row; any failure becomes one DataError."""
    try:
        import datasets
        import huggingface_hub

        huggingface_hub.constants.HF_HUB_DISABLE_TELEMETRY = True
        datasets.config.HF_UPDATE_DOWNLOAD_COUNTS = False
        rows = datasets.load_dataset(
            builder, data_files={"train": address}, split="train", streaming=True
        )
        for row in rows:
            yield row["text"]
    # The library raises errors of many others: HTTP, file systems, archives and formats.
    except Exception as error:
        reason = (str(error).strip() or "no reason given").splitlines()[0]
        raise DataError(
            f'corpus "{name}": no local files are registered, and streaming {address} from the '
            f"Hugging Face Hub failed ({type(error).__name__}: {reason}); check the network and "
            "HF_HUB_OFFLINE, or get the published files elsewhere and give them with "
            f"`lab data prepare PATH --name {name}`"
        ) from None
