from pathlib import Path

import pytest

from switchhead_lab.config.files import (
    apply_overrides,
    merge_trees,
    parse,
    read_as,
    read_toml,
    to_toml,
)
from switchhead_lab.config.identity import identity
from switchhead_lab.config.schema import RunConfig
from switchhead_lab.errors import ConfigError
from switchhead_lab.frozen_model import FrozenModel


def test_toml_round_trip_keeps_the_identity(tiny_config, tmp_path: Path) -> None:
    config = tiny_config("switchhead")
    path = tmp_path / "run.toml"
    path.write_text(to_toml(config), encoding="utf-8")
    again = read_as(RunConfig, path)
    assert again == config
    assert identity(again) == identity(config)


def test_identity_does_not_depend_on_omitted_defaults(tiny_config) -> None:
    config = tiny_config()
    tree = config.model_dump(mode="json")
    del tree["training"]["micro_batch_size"], tree["model"]["positions"]
    assert identity(parse(RunConfig, tree, "test")) == identity(config)


class _Entry(FrozenModel):
    name: str = ""
    width: int = 1


class _Entries(FrozenModel):
    models: list[_Entry]


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"name": "gqa", "foo": 3}, 'unknown key "models.1.foo" (model "gqa"); known keys: name'),
        ({"name": "gqa", "width": "w"}, "models.1.width = 'w' (model \"gqa\"): input should be"),
        ({"foo": 3}, 'unknown key "models.1.foo" (entry 2 of models); known keys: name'),
    ],
)
def test_errors_name_the_entry_of_a_list(entry: dict, message: str) -> None:
    with pytest.raises(ConfigError) as raised:
        parse(_Entries, {"models": [{"name": "dense"}, entry]}, "mine.toml")
    assert str(raised.value).startswith(f"mine.toml: {message}")


@pytest.mark.parametrize(
    "assignment", ["seed=1", "model.n_layers=3", "training.learning_rate=0.1", "data.corpus=other"]
)
def test_identity_changes_with_every_value(tiny_config, assignment: str) -> None:
    config = tiny_config()
    changed = apply_overrides(config.model_dump(mode="json"), [assignment])
    assert identity(parse(RunConfig, changed, "test")) != identity(config)


def test_config_is_frozen(tiny_config) -> None:
    with pytest.raises(ValueError, match="frozen"):
        tiny_config().seed = 3


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("training.n_step=3", r'unknown key "training.n_step" \(did you mean "n_steps"\?\)'),
        ("model.attention.n_head=3", r'did you mean "n_heads"'),
        ("model.d_model=15", r"model.d_model = 15: .*multiple of 2"),
        ("model.n_layers=0", r"model.n_layers = 0: .*greater than or equal to 1"),
        ("training.learning_rate=fast", r"training.learning_rate = 'fast': .*number"),
        ("training.micro_batch_size=3", r"micro_batch_size=3 does not divide batch_size=4"),
        ("training.n_warmup_steps=6", r"use a warm-up in 0..5"),
        (
            "model.attention.kind=mixture",
            r"kind 'mixture'; use 'dense', 'grouped_query', 'moa', 'switchhead'",
        ),
        ("data.corpus=../evil", r"data.corpus = '../evil'"),
        ("data.tokenizer={kind='sentencepiece', vocab_size=20}", r"vocab_size = 20: .*300"),
    ],
)
def test_errors_name_the_bad_value_and_what_is_allowed(tiny_config, assignment, message) -> None:
    tree = apply_overrides(tiny_config().model_dump(mode="json"), [assignment])
    with pytest.raises(ConfigError, match=message) as error:
        parse(RunConfig, tree, "here.toml")
    assert str(error.value).startswith("here.toml: ")


def test_top_k_above_n_experts_is_rejected(tiny_config) -> None:
    tree = apply_overrides(
        tiny_config("switchhead").model_dump(mode="json"), ["model.attention.top_k=6"]
    )
    with pytest.raises(ConfigError, match=r"top_k=6 but n_experts=3; use a top_k in 1\.\.3"):
        parse(RunConfig, tree, "test")


def test_all_errors_are_reported_at_once(tiny_config) -> None:
    tree = apply_overrides(tiny_config().model_dump(mode="json"), ["seed=-1", "model.n_layers=0"])
    with pytest.raises(ConfigError) as error:
        parse(RunConfig, tree, "test")
    assert len(str(error.value).splitlines()) == 2


def test_overrides_parse_toml_values_and_do_not_change_the_original() -> None:
    tree = {"a": {"b": 1}}
    changed = apply_overrides(tree, ["a.b=2.5", "a.c=[1, 2]", "d=word", "e.f=true"])
    assert changed == {"a": {"b": 2.5, "c": [1, 2]}, "d": "word", "e": {"f": True}}
    assert tree == {"a": {"b": 1}}


@pytest.mark.parametrize("assignment", ["a.b", "=3", "a..b=3", "a.b.c=3"])
def test_malformed_overrides_are_rejected(assignment: str) -> None:
    with pytest.raises(ConfigError, match="--set"):
        apply_overrides({"a": {"b": 1}}, [assignment])


def test_merging_replaces_a_table_of_another_kind_entirely() -> None:
    base = {"t": {"kind": "sentencepiece", "vocab_size": 9}, "x": {"a": 1, "b": 2}}
    merged = merge_trees(base, {"t": {"kind": "byte"}, "x": {"b": 3}})
    assert merged == {"t": {"kind": "byte"}, "x": {"a": 1, "b": 3}}


@pytest.mark.parametrize(
    ("contents", "message"),
    [(b"a = ", "not valid TOML"), (b"a = '\xff'", "not UTF-8"), (None, "no such file")],
)
def test_errors_name_unreadable_files(tmp_path: Path, contents, message: str) -> None:
    path = tmp_path / "broken.toml"
    if contents is not None:
        path.write_bytes(contents)
    with pytest.raises(ConfigError, match=message) as error:
        read_toml(path)
    assert str(path) in str(error.value)
