import os

import pytest
from pydantic import TypeAdapter, ValidationError

from switchhead_lab.config.names import (
    MAX_NAME_LENGTH,
    CorpusName,
    EntryName,
    ModelName,
    is_entry_name,
    require_model_name,
)
from switchhead_lab.errors import ConfigError

PATHS = ["", ".", "..", "a/b", "/a", "../a", "a\\b", ".hidden", "a\0b", "a\nb", "a\n", "a" * 256]
LONG = "\N{GRINNING FACE}" * 100  # 400 bytes


@pytest.mark.parametrize("name", ["a", "0", "two-heads", "a" * MAX_NAME_LENGTH])
def test_names_of_models_pass(name: str) -> None:
    assert require_model_name(name, "--name") == name
    assert TypeAdapter(ModelName).validate_python(name) == name


@pytest.mark.parametrize("name", [*PATHS, "A", "a b", "-a", "a_b", "ä", "a" * 250])
def test_errors_for_invalid_names_say_what_is_allowed(name: str) -> None:
    with pytest.raises(ConfigError, match="--name .*1 to 40 lower-case letters") as error:
        require_model_name(name, "--name")
    assert len(str(error.value)) < 250
    with pytest.raises(ValidationError):
        TypeAdapter(ModelName).validate_python(name)


@pytest.mark.parametrize("name", PATHS)
def test_paths_are_not_entries_or_corpora(name: str) -> None:
    assert not is_entry_name(name)
    for kind in (EntryName, CorpusName):
        with pytest.raises(ValidationError):
            TypeAdapter(kind).validate_python(name)


def test_the_length_of_an_entry_is_counted_in_bytes() -> None:
    assert not is_entry_name(LONG)


def test_the_longest_run_name_fits_a_file_name() -> None:
    longest = "-".join(["c" * MAX_NAME_LENGTH, *["m" * MAX_NAME_LENGTH] * 2, str(2**31), "0" * 8])
    assert is_entry_name(longest)
    assert len(os.fsencode(f".{longest}.{2**22}.tmp")) <= 255
