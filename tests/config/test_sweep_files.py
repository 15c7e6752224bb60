from pathlib import Path

import pytest
from shipped_sweeps import SHIPPED, SWEEPS

from switchhead_lab.config.sweep_files import find_sweep, list_sweep_files
from switchhead_lab.errors import ConfigError

DECLARATION = """
name = "tiny"
matching = "parameter_matched"
default_size = "small"
[data]
corpus = "words"
[model]
d_model = 16
n_layers = 2
seq_len = 16
[training]
n_steps = 10
batch_size = 4
learning_rate = 1e-3
clip_norm = 0.5
validate_every = 5
checkpoint_every = 5
[baseline]
n_heads = 4
d_head = 4
d_ff = 32
[sizes.small]
[sizes.short]
extends = "small"
training = { n_steps = 3 }
[sizes.loop]
extends = "loop"
"""


@pytest.fixture
def sweeps_dir(tmp_path: Path) -> Path:
    (tmp_path / "group").mkdir()
    (tmp_path / "group" / "tiny.toml").write_text(DECLARATION, encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_size_of_every_shipped_sweep_is_valid(path: Path) -> None:
    file = find_sweep(SWEEPS, str(path))
    for size in file.sizes:
        assert file.resolve(size).size == size


def test_default_size_and_extended_size(sweeps_dir: Path) -> None:
    file = find_sweep(sweeps_dir, "group/tiny")
    assert file.resolve().training.n_steps == 10
    short = file.resolve("short")
    assert (short.size, short.training.n_steps, short.training.batch_size) == ("short", 3, 4)


def test_a_ladder_is_resolved_at_each_of_its_sizes(sweeps_dir: Path) -> None:
    path = sweeps_dir / "group" / "tiny.toml"
    path.write_text(f'ladder = ["short", "small"]\n{DECLARATION}', encoding="utf-8")
    file = find_sweep(sweeps_dir, "group/tiny")
    assert [sweep.size for sweep in file.resolve_all()] == ["short", "small"]
    assert [sweep.size for sweep in file.resolve_all("small")] == ["small"]
    changed = file.resolve_all("", ["training.n_steps=7"])
    assert [sweep.training.n_steps for sweep in changed] == [7, 7]


@pytest.mark.parametrize(
    ("ladder", "message"),
    [
        ('["short", "smal"]', r'names "smal" \(did you mean "small"\?\): no such size; sizes: '),
        ('"short"', "write a list of sizes"),
        ("[1, 2]", "write a list of sizes"),
        ('["short"]', "name at least two sizes, each once"),
        ('["short", "small", "short"]', "name at least two sizes, each once"),
    ],
)
def test_bad_ladders_are_rejected(sweeps_dir: Path, ladder: str, message: str) -> None:
    path = sweeps_dir / "group" / "tiny.toml"
    path.write_text(f"ladder = {ladder}\n{DECLARATION}", encoding="utf-8")
    with pytest.raises(ConfigError, match=message):
        find_sweep(sweeps_dir, "group/tiny")


def test_overrides_come_last(sweeps_dir: Path) -> None:
    sweep = find_sweep(sweeps_dir, "group/tiny").resolve("short", ["training.n_steps=7"])
    assert sweep.training.n_steps == 7


def test_an_override_of_one_study_leaves_the_others(sweeps_dir: Path) -> None:
    fields = 'model={{kind="switchhead"}}, n_trials=1, space={{n_heads=[1]}}, name="{}"'
    studies = ",".join(f"{{{fields.format(name)}}}" for name in ("first", "second"))
    overrides = [f"studies=[{studies}]", "studies.second.n_trials=3"]
    sweep = find_sweep(sweeps_dir, "group/tiny").resolve("", overrides)
    assert {study.name: study.n_trials for study in sweep.studies} == {"first": 1, "second": 3}


@pytest.mark.parametrize(
    ("name", "size", "message"),
    [
        ("tinny", "", 'no sweep "tinny"'),
        ("group/tinny", "", r'did you mean "group/tiny"'),
        ("group/tiny", "smal", r'no size "smal" \(did you mean "small"\?\)'),
        ("group/tiny", "loop", "extends itself"),
        ("nowhere.toml", "", "no such file"),
    ],
)
def test_errors_for_unknown_names_suggest_known_ones(sweeps_dir, name, size, message) -> None:
    with pytest.raises(ConfigError, match=message):
        find_sweep(sweeps_dir, name).resolve(size)


def test_a_file_without_sizes_is_rejected(sweeps_dir: Path) -> None:
    (sweeps_dir / "none.toml").write_text('name = "none"\n', encoding="utf-8")
    with pytest.raises(ConfigError, match="declare at least one size"):
        find_sweep(sweeps_dir, "none")


def test_a_first_candidate_outside_the_space_is_rejected(sweeps_dir: Path) -> None:
    space, first = "n_heads=[1], n_experts=[2], top_k=[1]", "n_heads=2, n_experts=2, top_k=1"
    fields = f'model={{kind="switchhead"}}, n_trials=1, space={{{space}}}, first=[{{{first}}}]'
    with pytest.raises(ConfigError, match="add it to space.n_heads"):
        find_sweep(sweeps_dir, "group/tiny").resolve("", [f"studies=[{{{fields}}}]"])


def test_a_base_file_is_shared_and_its_sizes_can_be_dropped(sweeps_dir: Path) -> None:
    derived = sweeps_dir / "group" / "derived.toml"
    derived.write_text(
        'base = "tiny.toml"\nname = "derived"\n[sizes]\nloop = false\n'
        "[sizes.short]\ntraining = { batch_size = 2 }\n",
        encoding="utf-8",
    )
    file = find_sweep(sweeps_dir, "group/derived")
    assert list(file.sizes) == ["small", "short"]
    short = file.resolve("short")
    assert (short.name, short.training.n_steps, short.training.batch_size) == ("derived", 3, 2)
    derived.write_text('base = "derived.toml"\n', encoding="utf-8")
    with pytest.raises(ConfigError, match="is its own base"):
        find_sweep(sweeps_dir, "group/derived")


def test_a_base_file_is_not_listed(sweeps_dir: Path) -> None:
    (sweeps_dir / "group" / "tiny.toml").rename(sweeps_dir / "group" / "_tiny.toml")
    assert list_sweep_files(sweeps_dir) == []


def test_moa_cannot_pick_more_heads_than_experts(sweeps_dir: Path) -> None:
    models = ['models=[{kind="moa", name="moa", n_heads=3, n_experts=2}]']
    with pytest.raises(ConfigError, match=r"a token can pick 1\.\.2 heads"):
        find_sweep(sweeps_dir, "group/tiny").resolve("", models)


def test_duplicate_model_names_are_rejected(sweeps_dir: Path) -> None:
    models = ['models=[{kind="dense", name="dense", n_heads=2}]']
    with pytest.raises(ConfigError, match='two models are named "dense"'):
        find_sweep(sweeps_dir, "group/tiny").resolve("", models)
