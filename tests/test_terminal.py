import io
import os
import subprocess
import sys

import pytest

from switchhead_lab.terminal import plain_console, tell

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
