"""BLiMP: 67 sets of 1,000 minimal pairs of sentences, one of which is grammatical.

Source: Warstadt et al., "BLiMP: The Benchmark of Linguistic Minimal Pairs" (arXiv:1912.00582);
files `data/*.jsonl` of its repository, alexwarstadt/blimp. A document is a line of a file with all
its fields: `sentence_good`, `sentence_bad`, `UID` (the set) and others.
"""

from pathlib import Path

from switchhead_lab.config.zero_shot import BLIMP_SETS
from switchhead_lab.data.file_errors import printable, reading
from switchhead_lab.errors import DataError
from switchhead_lab.evaluation.documents.task_documents import TaskDocuments
from switchhead_lab.evaluation.documents.task_files import (
    read_objects,
    read_task_file,
    require_data_root,
    require_lines,
)

BLIMP_VERSION = "1"
PAIRS_PER_SET = 1_000
BLIMP_FOLDERS = (".", "data", "blimp", "blimp/data")
"""Folders of the data root in which the files may be, searched in this order."""


def read_blimp(data_root: Path) -> tuple[TaskDocuments, ...]:
    """Read all sets of BLiMP, as tasks `blimp_<set>` in order of name.

    Args:
        data_root: Folder that holds the files, directly or in one of `BLIMP_FOLDERS`.

    Raises:
        DataError: If the folder or a file is missing, or a file is not as published.
    """
    folder = _find_folder(data_root)
    return tuple(_read_set(folder, name) for name in BLIMP_SETS)


def _find_folder(data_root: Path) -> Path:
    require_data_root(data_root, "BLiMP")
    for name in BLIMP_FOLDERS:
        folder = data_root / name
        with reading(folder):
            missing = [name for name in BLIMP_SETS if not (folder / f"{name}.jsonl").is_file()]
        if not missing:
            return folder
        if len(missing) < len(BLIMP_SETS):
            raise DataError(
                f"{printable(str(folder))}: {len(missing)} of the {len(BLIMP_SETS)} files of BLiMP "
                f"missing: {', '.join(f'{name}.jsonl' for name in missing)}; expected all of them; "
                "fetch the published folder data/ again"
            )
    raise DataError(
        f"{printable(str(data_root))}: no file of BLiMP; looked for the {len(BLIMP_SETS)} files "
        f"{BLIMP_SETS[0]}.jsonl ... {BLIMP_SETS[-1]}.jsonl in the folder and in "
        f"{', '.join(BLIMP_FOLDERS[1:])}; put the published files there or give another --data-root"
    )


def _read_set(folder: Path, name: str) -> TaskDocuments:
    file = read_task_file(folder / f"{name}.jsonl")
    documents = tuple(read_objects(file, ("sentence_good", "sentence_bad", "UID")))
    require_lines(file, PAIRS_PER_SET)
    for number, document in enumerate(documents, start=1):
        if document["UID"] != name:
            raise file.error(number, f'UID is "{document["UID"]}"', f'"{name}", as the file name')
    return TaskDocuments(f"blimp_{name}", documents, file.sha256, file.source, BLIMP_VERSION)
