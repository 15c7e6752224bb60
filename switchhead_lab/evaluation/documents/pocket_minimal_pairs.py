"""`pocket_minimal_pairs_<phenomenon>`: 200 pairs of a good and a bad sentence for each phenomenon.

In the form of BLiMP, with the fields `sentence_good`, `sentence_bad` and `phenomenon`. Sentences
are drawn from templates over words that are frequent in presidents' annual messages, with a fixed
seed. The two sentences of a pair have the same number of words; they differ in one word, or in the
order of two adjacent ones. Where both forms of a word can be right, such as "is" and "are", each is
the right one in half of the pairs, so that the frequency of words alone does not help.
"""

from collections.abc import Callable

from switchhead_lab.config.zero_shot import MINIMAL_PAIRS
from switchhead_lab.errors import DataError
from switchhead_lab.evaluation.documents import grammar_words as words
from switchhead_lab.evaluation.documents.made_tasks import Draw, draw_of, made_task, pick
from switchhead_lab.evaluation.documents.task_documents import TaskDocuments

MINIMAL_PAIRS_VERSION = "1"
N_PAIRS = 200

Pair = tuple[str, str]
"""A good and a bad sentence, without capital and full stop."""


def make_minimal_pairs(phenomenon: str) -> TaskDocuments:
    """Make the task of one phenomenon.

    Args:
        phenomenon: One of `PHENOMENA`.

    Raises:
        DataError: If the phenomenon is unknown.
    """
    if phenomenon not in PHENOMENA:
        raise DataError(
            f'no phenomenon "{phenomenon}" of minimal pairs; known: {", ".join(PHENOMENA)}'
        )
    name = f"{MINIMAL_PAIRS}_{phenomenon}"
    draw = draw_of(name, MINIMAL_PAIRS_VERSION)
    pairs: dict[str, str] = {}
    while len(pairs) < N_PAIRS:
        # Even pairs have the first form of a word right, odd ones the second.
        good, bad = PHENOMENA[phenomenon](draw, len(pairs) % 2)
        pairs.setdefault(_sentence(good), _sentence(bad))
    documents = [
        {"sentence_good": good, "sentence_bad": bad, "phenomenon": phenomenon}
        for good, bad in pairs.items()
    ]
    return made_task(name, documents, "templates of sentences", MINIMAL_PAIRS_VERSION)


def _sentence(words_of_it: str) -> str:
    return f"{words_of_it[0].upper()}{words_of_it[1:]}."


def _subject_verb_agreement(draw: Draw, form: int) -> Pair:
    noun = pick(draw, words.THINGS)[form]
    start = f"the {pick(draw, words.ADJECTIVES)} {noun}"
    verb, end = pick(draw, words.AUXILIARIES), pick(draw, words.PREDICATES)
    return f"{start} {verb[form]} {end}", f"{start} {verb[1 - form]} {end}"


def _agreement_with_attractor(draw: Draw, form: int) -> Pair:
    head, attractor = pick(draw, words.HEADS)[form], pick(draw, words.THINGS)[1 - form]
    start = f"the {head} of the {attractor}"
    verb, end = pick(draw, words.AUXILIARIES), pick(draw, words.PREDICATES)
    return f"{start} {verb[form]} {end}", f"{start} {verb[1 - form]} {end}"


def _determiner_noun_agreement(draw: Draw, form: int) -> Pair:
    determiner = pick(draw, (("this", "these"), ("that", "those")))[form]
    start = f"we must {pick(draw, words.VERBS)[0]} {determiner}"
    noun, end = pick(draw, words.THINGS), pick(draw, words.TAILS)
    return f"{start} {noun[form]} {end}", f"{start} {noun[1 - form]} {end}"


def _reflexive_number(draw: Draw, form: int) -> Pair:
    noun = pick(draw, words.COMMUNITIES)[form]
    verb = pick(draw, ("protect", "maintain", "support", "defend"))
    start = f"the {noun} {pick(draw, ('must', 'can', 'will', 'should'))} {verb}"
    reflexive, end = ("itself", "themselves"), pick(draw, words.PLACES)
    return f"{start} {reflexive[form]} {end}", f"{start} {reflexive[1 - form]} {end}"


def _existential_agreement(draw: Draw, form: int) -> Pair:
    noun = pick(draw, words.THINGS)[form]
    verb = pick(draw, words.AUXILIARIES)
    end = f"no {pick(draw, words.ADJECTIVES)} {noun} {pick(draw, words.PLACES)}"
    return f"there {verb[form]} {end}", f"there {verb[1 - form]} {end}"


def _past_participle(draw: Draw, form: int) -> Pair:
    verb, noun = pick(draw, words.IRREGULAR), pick(draw, words.THINGS)[0]
    start = ("we", f"the {noun} was")[form]
    end = (f"the {noun} {pick(draw, words.TIMES)}", pick(draw, words.TIMES))[form]
    return f"{start} {verb[form]} {end}", f"{start} {verb[1 - form]} {end}"


def _verb_form(draw: Draw, form: int) -> Pair:
    auxiliary = (pick(draw, ("will", "should", "must", "can")), "has")[form]
    start, verb = f"{pick(draw, words.AGENTS)} {auxiliary}", pick(draw, words.VERBS)
    end = f"the {pick(draw, words.THINGS)[1]} {pick(draw, words.TAILS)}"
    return f"{start} {verb[form]} {end}", f"{start} {verb[1 - form]} {end}"


def _pronoun_case(draw: Draw, form: int) -> Pair:
    pronoun, noun = pick(draw, words.PRONOUNS), pick(draw, words.THINGS)[1]
    tail = f"{pick(draw, words.VERBS)[0]} the {noun}"
    opening = pick(draw, ("for this reason", "at this time", "in this matter"))
    start = (opening, "the people asked")[form]
    end = (f"must {tail}", f"to {tail}")[form]
    return f"{start} {pronoun[form]} {end}", f"{start} {pronoun[1 - form]} {end}"


def _article_form(draw: Draw, form: int) -> Pair:
    noun = pick(draw, (words.NOUNS_AFTER_A, words.NOUNS_AFTER_AN)[form])
    start = f"{pick(draw, words.AGENTS)} {pick(draw, words.VERBS)[1]}"
    article, end = ("a", "an"), f"{noun} {pick(draw, words.TIMES)}"
    return f"{start} {article[form]} {end}", f"{start} {article[1 - form]} {end}"


def _negative_polarity(draw: Draw, _form: int) -> Pair:
    start, verb = f"{pick(draw, words.AGENTS)} has", pick(draw, words.VERBS)[1]
    end = f"{verb} any {pick(draw, words.THINGS)[1]} {pick(draw, ('yet', 'so far', 'at all'))}"
    return f"{start} not {end}", f"{start} {pick(draw, ('also', 'now', 'always'))} {end}"


def _preposition_order(draw: Draw, form: int) -> Pair:
    start, noun = f"the {pick(draw, words.HEADS)[form]}", pick(draw, words.THINGS)[1]
    end = f"{noun} {words.AUXILIARIES[1][form]} {pick(draw, words.PARTICIPLES)}"
    preposition = pick(draw, ("of", "of", "in", "under"))
    return f"{start} {preposition} the {end}", f"{start} the {preposition} {end}"


def _adjective_noun_order(draw: Draw, form: int) -> Pair:
    start = f"we must {pick(draw, words.VERBS)[0]} {pick(draw, ('the', 'our'))}"
    adjective, noun = pick(draw, words.ADJECTIVES), pick(draw, words.THINGS)[form]
    end = pick(draw, words.TAILS)
    return f"{start} {adjective} {noun} {end}", f"{start} {noun} {adjective} {end}"


PHENOMENA: dict[str, Callable[[Draw, int], Pair]] = {
    "subject_verb_agreement": _subject_verb_agreement,
    "agreement_with_attractor": _agreement_with_attractor,
    "determiner_noun_agreement": _determiner_noun_agreement,
    "reflexive_number": _reflexive_number,
    "existential_agreement": _existential_agreement,
    "past_participle": _past_participle,
    "verb_form": _verb_form,
    "pronoun_case": _pronoun_case,
    "article_form": _article_form,
    "negative_polarity": _negative_polarity,
    "preposition_order": _preposition_order,
    "adjective_noun_order": _adjective_noun_order,
}
"""Phenomena by name; each draws one pair, given which of two forms is right."""
