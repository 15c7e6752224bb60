"""Words of the grammar of minimal pairs, all frequent in presidents' annual messages."""

Forms = tuple[str, str]
"""Two forms of one word; of nouns and verbs, singular first."""

_THINGS = """
law measure treaty report duty system plan question bank road ship vessel program power right
principle bill claim court school market price problem interest island port department tax
institution loan
"""
_Y_PLURALS = {"treaty": "treaties", "duty": "duties", "tax": "taxes"}
THINGS: tuple[Forms, ...] = tuple(
    (noun, _Y_PLURALS.get(noun, f"{noun}s")) for noun in _THINGS.split()
)
"""Nouns that have no collective reading: "The Congress have" is good English in old messages."""

HEADS: tuple[Forms, ...] = (
    ("result", "results"),
    ("effect", "effects"),
    ("cost", "costs"),
    ("object", "objects"),
    ("condition", "conditions"),
    ("provision", "provisions"),
    ("purpose", "purposes"),
    ("benefit", "benefits"),
)
"""Nouns before "of the"."""

COMMUNITIES: tuple[Forms, ...] = (
    ("nation", "nations"),
    ("country", "countries"),
    ("State", "States"),
    ("Republic", "Republics"),
    ("community", "communities"),
    ("industry", "industries"),
    ("system", "systems"),
    ("city", "cities"),
)
"""Nouns of "itself" and "themselves"."""

AGENTS = (
    "the Congress",
    "the Senate",
    "the President",
    "the Government",
    "the Secretary",
    "the House",
)
"""Subjects in the singular."""

PREDICATES = (
    *("necessary", "important", "essential", "just", "satisfactory", "new", "strong", "clear"),
    *("large", "good", "great", "ready", "complete", "sound", "valuable", "effective"),
)
ADJECTIVES = (
    *("important", "new", "just", "strong", "good", "great", "present", "public", "national"),
    *("foreign", "general", "proper", "common", "special", "private", "federal", "local"),
)
TAILS = (
    *("at once", "without delay", "this year", "with great care", "in time of peace"),
    *("for the people", "in the future", "at this session", "as soon as possible"),
)
PLACES = (
    *("in the country", "in the world", "at this time", "this year", "in this matter"),
    *("under the law", "before the Congress", "in the State", "at present"),
)
TIMES = ("last year", "this year", "in time", "at once", "without delay", "at the last session")
PARTICIPLES = (
    *("approved", "adopted", "established", "considered", "recommended", "improved", "presented"),
    *("provided", "extended", "maintained"),
)

VERBS: tuple[Forms, ...] = (
    ("secure", "secured"),
    ("protect", "protected"),
    ("maintain", "maintained"),
    ("adopt", "adopted"),
    ("approve", "approved"),
    ("consider", "considered"),
    ("improve", "improved"),
    ("extend", "extended"),
    ("provide", "provided"),
    ("reduce", "reduced"),
    ("support", "supported"),
    ("establish", "established"),
)
"""Infinitive and participle."""

IRREGULAR: tuple[Forms, ...] = (
    ("took", "taken"),
    ("gave", "given"),
    ("saw", "seen"),
    ("knew", "known"),
    ("began", "begun"),
    ("did", "done"),
    ("wrote", "written"),
)
"""Past tense and participle."""

PRONOUNS: tuple[Forms, ...] = (("I", "me"), ("we", "us"), ("he", "him"), ("they", "them"))
"""Subject and object."""

AUXILIARIES: tuple[Forms, ...] = (("is", "are"), ("was", "were"), ("has been", "have been"))
NOUNS_AFTER_AN = (
    *("act", "agreement", "amount", "army", "appropriation", "increase", "interest", "industry"),
    *("officer", "effort", "example", "end", "issue", "institution", "island", "answer"),
)
NOUNS_AFTER_A = (
    *("law", "measure", "treaty", "report", "duty", "system", "plan", "question", "bank", "road"),
    *("ship", "program", "power", "right", "bill", "claim"),
)
