"""Every command that names a sweep works when pasted, for sweeps in subfolders as well."""

import re
import shlex
from pathlib import Path

import pytest
from click import Context
from command_line import all_commands, lab

from switchhead_lab.config.sweep import Sweep
from switchhead_lab.config.sweep_files import find_sweep, recorded_name
from switchhead_lab.config.workspace import find_workspace
from switchhead_lab.reporting.selection import select_record
from switchhead_lab.sweeping.plan import declared_variants
from switchhead_lab.tracking.sweep_record import sweep_id
from switchhead_lab.views.sweep import outcome_lines

SOURCES = Path(__file__).parents[2] / "switchhead_lab"
# In backticks, on lines of its own, or after "next: ".
COMMAND = re.compile(r"`(lab [^`]+)`|^next: (lab .+)$", re.MULTILINE)
WITH_SWEEP = {"sweep", "bench step", "report", "match", "budget"}
FILE = "folder/deeper/some words"
DECLARATION = """
name = "words"
default_size = "small"
matching = "parameter_matched"
claims = [{ model = "dense-h2", cost = { time = 1.0 } }]

[data]
corpus = "sotu"
tokenizer = { kind = "byte" }

[model]
d_model = 64
n_layers = 2
seq_len = 32

[training]
n_steps = 100
batch_size = 8
learning_rate = 1e-3
clip_norm = 0.25
validate_every = 50
checkpoint_every = 50

[baseline]
name = "dense"
n_heads = 8
d_head = 8
d_ff = 128
seeds = [0, 1]

[[models]]
kind = "dense"
name = "dense-h2"
n_heads = 2
seeds = [0, 1]

[sizes.small]
[sizes.large]
training.n_steps = 200
"""
CHANGED = {"code": {"digest": "0", "files": {"switchhead_lab/training/loop.py": "0"}, "own": []}}


@pytest.fixture
def root(home: Path) -> Path:
    path = home / "sweeps" / f"{FILE}.toml"
    path.parent.mkdir(parents=True)
    path.write_text(DECLARATION, encoding="utf-8")
    return home


@pytest.fixture
def record(root: Path, make_writer):
    """Record the first seeds of the sweep, by other code."""

    def make(*overrides: str) -> Sweep:
        sweep = find_sweep(root / "sweeps", FILE).resolve("small", overrides)
        writer = make_writer(**sweep.model_dump(mode="json"))
        for variant in declared_variants(writer.sweep):
            model = (variant.name, variant.role, variant.model)
            writer.add(*model, 0, 20.0, provenance=CHANGED)
        writer.write()
        return writer.sweep

    return make


def commands_in(text: str) -> list[list[str]]:
    """Return the words after `lab` of every printed command that names a sweep."""
    found = [shlex.split("".join(one)) for one in COMMAND.findall(text.replace("\\\n", ""))]
    words = [one[1:] for one in found]
    return [one for one in words if verb_of(one) and arguments_of(one).get("sweep")]


def verb_of(words: list[str]) -> str:
    return next((one for one in WITH_SWEEP if words[: len(one.split())] == one.split()), "")


def arguments_of(words: list[str]) -> dict:
    """Parse a command as `lab` does; empty for one that names no sweep."""
    verb = tuple(verb_of(words).split())
    rest = words[len(verb) :]
    if not rest or rest[0] in ("list", "NAME", "ID"):
        return {}
    # `lab sweep` is short for `lab sweep run`.
    command = all_commands()[("sweep", "run") if verb == ("sweep",) else verb]
    context = Context(command)
    command.parse_args(context, [*rest])
    return context.params | {"sweep": context.params.get("sweep") or context.params.get("sweeps")}


def declared_by(root: Path, words: list[str]) -> str:
    """Return the id of the declaration that a command is about."""
    given, workspace = arguments_of(words), find_workspace(root)
    if verb_of(words) == "report":
        (name,) = given["sweep"]
        recorded = recorded_name(workspace.sweeps_dir, name)
        return sweep_id(select_record(workspace.runs_dir, recorded, given["size"]).record.sweep)
    file = find_sweep(workspace.sweeps_dir, given["sweep"])
    return sweep_id(file.resolve(given["size"], given["overrides"] or ()))


@pytest.mark.parametrize("overrides", [(), ("training.learning_rate=0.002", "data.corpus=other")])
def test_reports_of_a_sweep_in_a_subfolder(root: Path, record, overrides: tuple[str, ...]) -> None:
    sweep = record(*overrides)
    printed = lab("report", FILE, cwd=root).stdout
    wrapped = " ".join(printed.split())
    assert "The time is undecided: `lab bench step" in wrapped
    texts = [
        wrapped.replace("\\ ", ""),
        lab("report", "words", "--strict", cwd=root, code=2).stderr,
        (root / "reports" / sweep_id(sweep) / "claims.md").read_text(encoding="utf-8"),
        (root / "reports" / sweep_id(sweep) / "report.md").read_text(encoding="utf-8"),
        "\n".join(outcome_lines(sweep, _Record(sweep))),
    ]
    verbs = set()
    for text in texts:
        found = commands_in(text)
        assert found, text
        assert {declared_by(root, words) for words in found} == {sweep_id(sweep)}
        verbs |= {verb_of(words) for words in found}
    assert verbs == {"sweep", "bench step", "report"}


class _Record:
    """What `lab sweep` has of a sweep once it is done."""

    members = ()

    def __init__(self, sweep: Sweep) -> None:
        self.sweep = sweep


def test_runs_of_other_code_name_the_command_as_it_was_given(root: Path, record) -> None:
    own = "training.learning_rate=0.002"
    sweep = record(own)
    shown = " ".join(lab("sweep", "show", FILE, "--set", own, cwd=root).stdout.split())
    (words,) = commands_in(shown)
    assert declared_by(root, words) == sweep_id(sweep)


def test_errors_name_commands_of_files(root: Path, record) -> None:
    def remedy(*arguments: str) -> str:
        return lab("report", *arguments, cwd=root, code=2).stderr

    for arguments in ([FILE], ["words"], ["words", "--size", "large"]):
        (words,) = commands_in(remedy(*arguments))
        assert find_sweep(root / "sweeps", words[1]).base["name"] == "words"
        assert arguments_of(words)["size"] == ("large" if "large" in arguments else "")
    record()
    (words,) = commands_in(remedy("words", "--size", "large"))
    assert arguments_of(words)["size"] == "large"
    for arguments in (["wrods"], ["words", "--size", "larger"]):
        assert "`lab sweep list` shows what can be run" in remedy(*arguments)


def test_no_command_is_made_of_a_name_outside_the_module_for_it() -> None:
    made = re.compile(r"lab (?:sweep|bench \w+|match|budget) \{")
    found = [path.name for path in SOURCES.rglob("*.py") if made.search(path.read_text("utf-8"))]
    assert found == []
