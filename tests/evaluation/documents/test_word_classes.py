from switchhead_lab.evaluation.documents.passages import sentences_of
from switchhead_lab.evaluation.documents.word_classes import classify_words


def test_names_have_a_capital_within_sentences():
    classes = classify_words(
        [
            "Ships from Spain came.",
            "The ships of Spain left.",
            "In Congress the Treaty with Mr Adams, the treaty of Adams, and a Treaty were read.",
            "The treaty was read in THE HOUSE of THE HOUSE.",
            "Congress met, and the Congress left.",
        ]
    )
    # Not "Treaty", which lacks the capital too often, nor "Ships", which only opens a sentence.
    assert classes.names == {"Spain", "Adams", "Congress"}


def test_common_nouns_end_noun_phrases():
    classes = classify_words(
        [
            "It saw the new ship, and a ship was new.",
            "The ship of the law is in the public domain, and a law of the public.",
            "He said that the one of these was the same as that of the other.",
        ]
    )
    assert classes.nouns == {"ship", "law"}


def test_classes_of_the_embedded_corpus_are_plausible(sotu: dict[str, list[str]]):
    classes = classify_words(line for text in sotu["test"] for line in sentences_of(text))
    nouns = {"country", "people", "law", "laws", "treaty", "war", "year", "policy"}
    others = {"great", "national", "necessary", "made", "given", "important", "the", "which"}
    assert nouns <= classes.nouns
    assert not others & classes.nouns
    assert {"Congress", "America", "Spain", "June", "Washington"} <= classes.names
    assert not {"The", "I", "Mr", "It", "Law", "Country"} & classes.names
    assert len(classes.nouns) > 500
    assert len(classes.names) > 150
