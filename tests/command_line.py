"""The command `lab` in this process: what users see, without a second start of the libraries."""

import contextlib
import io
import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click

from switchhead_lab.__main__ import main
from switchhead_lab.cli.command import command as lab_command
from switchhead_lab.tracking.interruption import SIGNALS, interruption


@dataclass(frozen=True)
class Done:
    """What a command printed."""

    stdout: str
    stderr: str


def lab(*arguments: str | Path, cwd: Path, code: int = 0, stdin: str = "") -> Done:
    """Run `lab` and check its exit code.

    Args:
        arguments: Command and options.
        cwd: Folder to run it in.
        code: The exit code that it must have.
        stdin: What it may read.
    """
    streams = [io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for _ in range(2)]
    before = sys.argv, sys.stdin, sys.stdout, sys.stderr
    sys.argv = ["lab", *map(str, arguments)]
    sys.stdin = io.TextIOWrapper(io.BytesIO(stdin.encode()), encoding="utf-8")
    sys.stdout, sys.stderr = streams
    try:
        with contextlib.chdir(cwd), _own_signals(), _own_environment():
            ended = _exit_code()
    finally:
        sys.argv, sys.stdin, sys.stdout, sys.stderr = before
    for stream in streams:
        stream.flush()
    stdout, stderr = (stream.buffer.getvalue().decode() for stream in streams)  # type: ignore[attr-defined]
    assert ended == code, f"{arguments}: exit code {ended}\n{stdout}\n{stderr}"
    return Done(stdout, stderr)


def all_commands() -> dict[tuple[str, ...], click.Command]:
    """Return every command and group of `lab`, by its words."""
    return dict(_commands_in(lab_command, ()))


def options_of(command: click.Command) -> set[str]:
    return {name for parameter in command.params for name in parameter.opts}


def is_group(command: click.Command) -> bool:
    return hasattr(command, "commands")


def _commands_in(
    command: click.Command, words: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    yield words, command
    for name, inner in getattr(command, "commands", {}).items():
        yield from _commands_in(inner, (*words, name))


def _exit_code() -> int:
    try:
        main()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


@contextlib.contextmanager
def _own_signals() -> Iterator[None]:
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    state = dict(vars(interruption))
    try:
        yield
    finally:
        vars(interruption).update(state)
        for number, handler in handlers.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _own_environment() -> Iterator[None]:
    before = dict(os.environ)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
