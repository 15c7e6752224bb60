"""BLiMP: 67 sets of 1,000 minimal pairs of sentences, one of which is grammatical.

Source: Warstadt et al., "BLiMP: The Benchmark of Linguistic Minimal Pairs" (arXiv:1912.00582);
files `data/*.jsonl` of its repository, alexwarstadt/blimp. A document is a line of a file with all
its fields: `sentence_good`, `sentence_bad`, `UID` (the set) and others.
"""

from pathlib import Path

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

BLIMP_SETS = (
    "adjunct_island",
    "anaphor_gender_agreement",
    "anaphor_number_agreement",
    "animate_subject_passive",
    "animate_subject_trans",
    "causative",
    "complex_NP_island",
    "coordinate_structure_constraint_complex_left_branch",
    "coordinate_structure_constraint_object_extraction",
    "determiner_noun_agreement_1",
    "determiner_noun_agreement_2",
    "determiner_noun_agreement_irregular_1",
    "determiner_noun_agreement_irregular_2",
    "determiner_noun_agreement_with_adj_2",
    "determiner_noun_agreement_with_adj_irregular_1",
    "determiner_noun_agreement_with_adj_irregular_2",
    "determiner_noun_agreement_with_adjective_1",
    "distractor_agreement_relational_noun",
    "distractor_agreement_relative_clause",
    "drop_argument",
    "ellipsis_n_bar_1",
    "ellipsis_n_bar_2",
    "existential_there_object_raising",
    "existential_there_quantifiers_1",
    "existential_there_quantifiers_2",
    "existential_there_subject_raising",
    "expletive_it_object_raising",
    "inchoative",
    "intransitive",
    "irregular_past_participle_adjectives",
    "irregular_past_participle_verbs",
    "irregular_plural_subject_verb_agreement_1",
    "irregular_plural_subject_verb_agreement_2",
    "left_branch_island_echo_question",
    "left_branch_island_simple_question",
    "matrix_question_npi_licensor_present",
    "npi_present_1",
    "npi_present_2",
    "only_npi_licensor_present",
    "only_npi_scope",
    "passive_1",
    "passive_2",
    "principle_A_c_command",
    "principle_A_case_1",
    "principle_A_case_2",
    "principle_A_domain_1",
    "principle_A_domain_2",
    "principle_A_domain_3",
    "principle_A_reconstruction",
    "regular_plural_subject_verb_agreement_1",
    "regular_plural_subject_verb_agreement_2",
    "sentential_negation_npi_licensor_present",
    "sentential_negation_npi_scope",
    "sentential_subject_island",
    "superlative_quantifiers_1",
    "superlative_quantifiers_2",
    "tough_vs_raising_1",
    "tough_vs_raising_2",
    "transitive",
    "wh_island",
    "wh_questions_object_gap",
    "wh_questions_subject_gap",
    "wh_questions_subject_gap_long_distance",
    "wh_vs_that_no_gap",
    "wh_vs_that_no_gap_long_distance",
    "wh_vs_that_with_gap",
    "wh_vs_that_with_gap_long_distance",
)
"""Names of the sets; the file of a set is NAME.jsonl."""


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
