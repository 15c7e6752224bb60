"""Run configuration files."""

import re
from pathlib import Path

from switchhead_lab.config.files import Tree, read_toml
from switchhead_lab.errors import ConfigError

# The line that `lab match --toml` writes above each configuration.
_HEADING = re.compile(r"^# (.+) \([a-z]+\), seed \d+$", re.MULTILINE)


def run_heading(title: str, role: str, seed: int) -> str:
    """Return the comment line printed above a configuration."""
    return f"# {title} ({role}), seed {seed}"


def read_run_file(path: Path) -> Tree:
    """Read the configuration of one run.

    Raises:
        ConfigError: If the file cannot be read, or holds several configurations; the message names
            them.
    """
    try:
        return read_toml(path)
    except ConfigError:
        titles = _HEADING.findall(_text(path))
        if len(titles) < 2:
            raise
        raise ConfigError(
            f"{path}: holds {len(titles)} configurations ({', '.join(titles)}); give one, as "
            "`lab match NAME --toml --model MODEL` prints it"
        ) from None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except (OSError, ValueError):
        return ""
