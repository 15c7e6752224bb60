"""`lab data digits` from the command line."""

from pathlib import Path

from command_line import lab

from switchhead_lab.config.data import DigitsData
from switchhead_lab.data.digits import render_example
from switchhead_lab.data.example_store import find_examples


def test_images_are_prepared_once_and_drawn(tmp_path: Path) -> None:
    (tmp_path / "lab.toml").write_text("", encoding="utf-8")
    command = ("data", "digits", "--n-train", "30")
    first = lab(*command, "--show", "2", cwd=tmp_path).stdout
    data = DigitsData(kind="digits", n_train=30)
    store = find_examples(tmp_path / "data", data)
    assert store is not None
    assert f"prepared: {store.path}\n" in first
    train = store.examples("train")
    for row in range(2):
        assert f"  {train.labels[row]} = {render_example(train.tokens[row], data)}\n" in first
    assert lab(*command, cwd=tmp_path).stdout.startswith(f"already prepared: {store.path}\n")
