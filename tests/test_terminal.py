import io
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from switchhead_lab.terminal import beside_path, plain_console, print_list, print_notes, tell

TEXT = "p[/q] [b]bold[/b] :smile: \u2013 \udcff"
PROGRAM = (
    "from switchhead_lab.terminal import prepare_streams\n"
    "prepare_streams()\n"
    f"print({TEXT!a})\n"
    "import sys; sys.stderr.write('told\\n')\n"
)


def run(shell: str = "", **environment: str) -> subprocess.CompletedProcess[bytes]:
    command = ["sh", "-c", f'exec "$0" "$@" {shell}', sys.executable, "-c", PROGRAM]
    return subprocess.run(
        command, capture_output=True, check=False, env={**os.environ, **environment}
    )


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_what_an_encoding_lacks_is_escaped(encoding: str) -> None:
    done = run(PYTHONIOENCODING=encoding)
    assert (done.returncode, done.stderr) == (0, b"told\n")
    assert rb"p[/q] [b]bold[/b] :smile: " in done.stdout
    assert rb"\udcff" in done.stdout


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_closed_streams_take_text(closed: str) -> None:
    assert run(closed).returncode == 0


def test_nobody_needs_to_read_what_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stderr", Gone())
    tell("something")


@pytest.mark.parametrize(
    ("is_terminal", "line"), [(True, "\x1b[31merror\x1b[0m\n"), (False, "error\n")]
)
def test_styles_are_for_terminals(
    monkeypatch: pytest.MonkeyPatch, is_terminal: bool, line: str
) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(stream, "isatty", lambda: is_terminal)
    monkeypatch.setattr(sys, "stderr", stream)
    tell("error", "red")
    assert stream.getvalue() == line


def test_a_console_prints_text_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    plain_console(width=200).print(TEXT[:-1])
    plain_console(width=200, stderr=True).print("[/q]")
    printed = capsys.readouterr()
    assert printed.out.rstrip() == TEXT[:-1].rstrip()
    assert printed.err == "[/q]\n"


COMMAND = "lab bench step paper/table2-wikitext103 --size pocket"


@pytest.mark.parametrize("n_words", range(2, 14))
def test_commands_in_wrapped_lines_stay_whole(capsys, n_words: int) -> None:
    line = f"{'word ' * n_words}`{COMMAND}`; more words than fit a line of eighty columns"
    print_list([line])
    shown = capsys.readouterr().out
    assert any(f"`{COMMAND}`;" in row for row in shown.splitlines())
    assert max(map(len, shown.splitlines())) <= 80
    assert " ".join(shown.split()) == f"- {line}"


def test_a_command_wider_than_a_line_works_when_pasted(capsys) -> None:
    sets = [f"--set training.field_number_{n}='a value'" for n in range(6)]
    print_notes([f"The gap: `{' '.join([COMMAND, *sets])}` trains it."])
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= 80
    pasted = shown.split("`")[1]
    assert shlex.split(pasted.replace("\\\n", " ")) == shlex.split(f"{COMMAND} {' '.join(sets)}")
    printed = subprocess.run(
        ["sh", "-c", pasted.replace("lab", "printf '%s\\n'", 1)],
        capture_output=True,
        check=True,
        text=True,
    ).stdout
    assert printed.splitlines() == shlex.split(f"{COMMAND} {' '.join(sets)}")[1:]


@pytest.mark.parametrize(("columns", "widest"), [("50", 50), ("200", 80)])
def test_notes_are_no_wider_than_80_columns_or_the_terminal(
    capsys, monkeypatch: pytest.MonkeyPatch, columns: str, widest: int
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", columns)
    print_notes(["word " * 100])
    assert widest - 5 < max(map(len, capsys.readouterr().out.splitlines())) <= widest


def test_long_paths_have_a_line_of_their_own() -> None:
    assert beside_path("in", Path("/a b"), ":") == "in /a b:"
    path = Path("/folder with spaces" * 8)
    assert beside_path("in", path, ":") == f"in\n{path}:"
