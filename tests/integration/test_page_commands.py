"""The commands that the page names reproduce what it shows."""

import json
import shlex
import shutil
from pathlib import Path

import pytest
from command_line import lab
from finished_sweeps import swept
from html_document import Document, read_html
from tiny_sweep import SWEEP

OWN_STEPS = ("--set", "training.n_steps=3", "--set", "training.log_every=3")


@pytest.fixture
def root(workspace) -> Path:
    declaration = SWEEP[: SWEEP.index("[[studies]]")] + "[sizes.small]\n"
    # Its name is not that of its file.
    (workspace.sweeps_dir / "words.toml").write_text(declaration, encoding="utf-8")
    return workspace.root


def page_of(root: Path) -> Document:
    lab("report", cwd=root)
    return read_html((root / "reports/index.html").read_text(encoding="utf-8"))


def command_in(document: Document, tag: str, *classes: str) -> list[str]:
    """Return the words of the first command in an element."""
    holder = document.find(tag, *classes)[0]
    commands = [one for one in document.find("code", "cmd") if holder in one.parents]
    return shlex.split(commands[0].text)[1:]


def metrics_of(root: Path) -> dict[str, dict[str, float]]:
    return {
        path.parent.name: {
            key: value
            for key, value in json.loads(path.read_text()).items()
            if key.startswith(("validation", "test"))
        }
        for path in root.glob("runs/*/result.json")
    }


def test_a_finished_run_is_retrained_to_the_same_result_under_its_name(root: Path) -> None:
    swept(root, "words")
    before, document = metrics_of(root), page_of(root)
    command = command_in(document, "li", "run")
    assert command[0] == "train"
    lab(*command, cwd=root)
    assert len(list((root / "runs/superseded").iterdir())) == 1
    assert metrics_of(root) == before
    assert page_of(root).find("p", "notice", "gap") == []


@pytest.mark.parametrize("options", [(), OWN_STEPS], ids=["declared", "overridden"])
def test_a_deleted_run_is_trained_again(root: Path, options: tuple[str, ...]) -> None:
    swept(root, "words", *options)
    before = metrics_of(root)
    shutil.rmtree(root / "runs" / min(before))
    document = page_of(root)
    notices = [one.text for one in document.find("p", "notice", "gap")]
    assert notices[0].startswith("INCOMPLETE")
    (commands,) = [one for one in notices if "lab sweep words --size small" in one]
    assert all(option in commands for option in options[1::2])
    lab(*shlex.split(commands[commands.index("lab sweep") :])[1:], cwd=root)
    assert metrics_of(root) == before
    assert page_of(root).find("p", "notice", "gap") == []


def test_without_its_file_a_sweep_has_no_command(root: Path) -> None:
    swept(root, "words")
    shutil.rmtree(root / "runs" / min(metrics_of(root)))
    path = root / "sweeps/words.toml"
    text = path.read_text()
    path.write_text(text.replace("n_heads = 2", "n_heads = 1"))
    assert "lab sweep" not in page_of(root).find("main")[0].text
    path.write_text("name = ")
    assert "lab sweep" not in page_of(root).find("main")[0].text
