"""Zero-shot tasks by name: what each asks, the mean it is part of, its suite and its metrics."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from switchhead_lab.config.files import near_miss

Kind = Literal["last word", "cloze", "minimal pairs"]
Suite = Literal["paper", "pocket"]
SUITES: tuple[Suite, ...] = get_args(Suite)
TaskMetric = Literal["accuracy", "perplexity"]
"""Metrics by their names in MLflow and in claims."""
# Probability of a right answer by chance.
_CHANCE = {"last word": None, "cloze": 0.1, "minimal pairs": 0.5}

BLIMP = "blimp"
"""Unweighted mean over the sets of BLiMP, which Tables 4 and 8 print."""
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
"""Names of the sets of BLiMP; the file of a set is NAME.jsonl."""
LAST_WORD = "pocket_last_word"
ClozeName = Literal["pocket_cloze_noun", "pocket_cloze_name"]
POCKET_CLOZE: tuple[ClozeName, ...] = get_args(ClozeName)
MINIMAL_PAIRS = "pocket_minimal_pairs"
"""Unweighted mean over the pocket phenomena."""
PHENOMENA = (
    "subject_verb_agreement",
    "agreement_with_attractor",
    "determiner_noun_agreement",
    "reflexive_number",
    "existential_agreement",
    "past_participle",
    "verb_form",
    "pronoun_case",
    "article_form",
    "negative_polarity",
    "preposition_order",
    "adjective_noun_order",
)
"""Names of the phenomena of the pocket's minimal pairs."""


@dataclass(frozen=True)
class TaskName:
    """A zero-shot task by name.

    Attributes:
        name: Name in tables and files.
        kind: What is asked.
        group: Name of the mean that it is part of; its own name if there is none.
    """

    name: str
    kind: Kind
    group: str

    @property
    def suite(self) -> Suite:
        """The suite that it belongs to."""
        return "pocket" if self.name.startswith("pocket_") else "paper"

    @property
    def chance(self) -> float | None:
        """Accuracy of guessing; None if next to nothing."""
        return _CHANCE[self.kind]

    @property
    def metrics(self) -> tuple[TaskMetric, ...]:
        """Its metrics; the perplexity is that of the words to predict."""
        return ("accuracy", "perplexity") if self.kind == "last word" else ("accuracy",)


TASK_NAMES: tuple[TaskName, ...] = (
    TaskName("lambada_openai", "last word", "lambada_openai"),
    *(TaskName(f"{BLIMP}_{name}", "minimal pairs", BLIMP) for name in BLIMP_SETS),
    TaskName("cbt_cn", "cloze", "cbt_cn"),
    TaskName("cbt_ne", "cloze", "cbt_ne"),
    TaskName(LAST_WORD, "last word", LAST_WORD),
    *(TaskName(name, "cloze", name) for name in POCKET_CLOZE),
    *(TaskName(f"{MINIMAL_PAIRS}_{name}", "minimal pairs", MINIMAL_PAIRS) for name in PHENOMENA),
)
"""All tasks, in the order of tables."""


def tasks_named(names: Sequence[str]) -> list[TaskName]:
    """Return tasks by name, in the order of `TASK_NAMES`.

    Args:
        names: Names of tasks, of groups such as "blimp", or of suites.

    Raises:
        ValueError: If a name is unknown.
    """
    known: dict[str, list[str]] = {}
    for task in TASK_NAMES:
        for name in {task.name, task.group, task.suite}:
            known.setdefault(name, []).append(task.name)
    for name in names:
        if name not in known:
            short = [one for one in known if not one.startswith((f"{BLIMP}_", f"{MINIMAL_PAIRS}_"))]
            raise ValueError(
                f'no task "{name}"{near_miss(name, list(known))}; tasks and groups: '
                f"{', '.join(short)}; sets of BLiMP: {BLIMP}_<set>"
            )
    wanted = {task for name in names for task in known[name]}
    return [task for task in TASK_NAMES if task.name in wanted]
