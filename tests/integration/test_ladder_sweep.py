"""A ladder from the command line, with real training."""

import json
from pathlib import Path

import pytest
from command_line import lab
from tiny_sweep import SWEEP

SIZES = """
[sizes.small]
[sizes.large]
model = { d_model = 32 }
baseline = { d_head = 16 }
"""


@pytest.fixture
def root(workspace) -> Path:
    declaration = SWEEP[: SWEEP.index("[[studies]]")] + SIZES
    ladder = f'ladder = ["small", "large"]\n{declaration}'
    (workspace.sweeps_dir / "tiny.toml").write_text(ladder, encoding="utf-8")
    return workspace.root


def test_all_sizes_are_run_and_compared(root: Path) -> None:
    shown = lab("sweep", "show", "tiny", cwd=root).stdout
    assert "tiny, size small" in shown
    assert "tiny, size large" in shown
    assert " small*" in lab("sweep", "list", cwd=root).stdout
    partial = lab("sweep", "tiny", "--size", "small", cwd=root).stdout
    assert "next: lab report tiny --size small" in partial
    lab("report", "tiny", "--strict", cwd=root, code=2)
    done = lab("sweep", "tiny", cwd=root)
    assert done.stdout.count("sweep tiny-") == 2
    assert done.stdout.index("sweep tiny-small-") < done.stdout.index("sweep tiny-large-")
    assert done.stdout.endswith("next: lab report tiny\n")
    assert "step" in done.stderr  # the second size is trained, the first is not trained again
    assert len(list((root / "runs").glob("*/result.json"))) == 4
    printed = lab("report", "tiny", "--strict", cwd=root).stdout
    assert "tiny: loss against training compute" in printed
    assert "Power laws of the loss" in printed
    assert all(len(line) <= 80 for line in printed.splitlines() if str(root) not in line)
    report, *sizes = json.loads(lab("report", "tiny", "--json", cwd=root).stdout)
    assert len(sizes) == 2
    assert [row["size"] for row in report["models"]] == ["small", "large"] * 2
    assert all(Path(name).is_file() for name in report["files"])
    one = lab("report", "tiny", "--size", "large", cwd=root).stdout
    assert "tiny-large-" in one
