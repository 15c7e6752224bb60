from switchhead_lab.evaluation.documents.passages import sentences_of, words_of


def test_sentences_end_at_end_marks_before_a_capital():
    text = (
        'We met Mr. J. Adams on Jan. 3. He asked, "Is it so?" It cost\n3.5 millions!  '
        "Why not say so?"
    )
    assert sentences_of(text) == [
        "We met Mr. J. Adams on Jan. 3.",
        'He asked, "Is it so?"',
        "It cost 3.5 millions!",
        "Why not say so?",
    ]


def test_paragraphs_end_sentences_and_headings_are_left_out():
    text = (
        "Fellow citizens:\n\nTHE STATE OF THE NAVY.\n\nThe navy is\nready. [Laughter] Yes. "
        "The army is (Applause.) too.\n\n THE ARMY \n\n It is small."
    )
    assert sentences_of(text) == ["The navy is ready.", "The army is too.", "It is small."]


def test_words_keep_case_hyphens_and_apostrophes():
    words = words_of("The Attorney-General's 3 ships -- no more -- don't sail.")
    assert words == ("The", "Attorney-General's", "ships", "no", "more", "don't", "sail")
