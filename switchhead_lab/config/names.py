"""Names used in file names: models, sizes, sweeps, corpora and runs."""

import os
import re
from typing import Annotated

from pydantic import Field

from switchhead_lab.errors import ConfigError

MAX_NAME_LENGTH = 40
"""Characters; three such names, a seed and a hash fit the 255 bytes of a file name."""
_MODEL_NAME = r"^[a-z0-9][a-z0-9-]*$"
_CORPUS_NAME = r"^[a-z0-9][a-z0-9_]*$"
# Wider than `run_name` needs, so that records of earlier versions stay readable.
_ENTRY_NAME = r"^[^./\\\x00-\x1f][^/\\\x00-\x1f]*$"
_MAX_ENTRY_LENGTH = 255

ModelName = Annotated[str, Field(pattern=_MODEL_NAME, max_length=MAX_NAME_LENGTH)]
"""Name of a model, size or sweep."""
CorpusName = Annotated[str, Field(pattern=_CORPUS_NAME, max_length=MAX_NAME_LENGTH)]
"""Name of a corpus."""
EntryName = Annotated[str, Field(pattern=_ENTRY_NAME, max_length=_MAX_ENTRY_LENGTH)]
"""Name of a folder entry; never a path out of the folder."""

FileName = Annotated[
    str, Field(pattern=r"^[^./\\\x00-\x1f][^/\\\x00-\x1f]*(/[^./\\\x00-\x1f][^/\\\x00-\x1f]*)*$")
]
"""Path of a file in a folder, with "/"; never a path out of the folder."""


def require_model_name(name: str, source: str) -> str:
    """Return the name of a model, size or sweep if it is valid.

    Args:
        name: The name.
        source: Where it comes from, for the error, e.g. "--name".

    Raises:
        ConfigError: If it is not valid.
    """
    if len(name) > MAX_NAME_LENGTH or not re.fullmatch(_MODEL_NAME, name):
        shown = name if len(name) <= MAX_NAME_LENGTH else f"{name[:MAX_NAME_LENGTH]}..."
        raise ConfigError(
            f"{source} {shown!r}: not a valid name; use 1 to {MAX_NAME_LENGTH} lower-case letters, "
            'digits and hyphens, beginning with a letter or digit, for example "my-model"'
        )
    return name


def is_entry_name(text: str) -> bool:
    """Return whether a text is the name of a folder entry: not a path, not empty."""
    is_short = len(os.fsencode(text)) <= _MAX_ENTRY_LENGTH
    return is_short and re.fullmatch(_ENTRY_NAME, text) is not None
