"""`lab check-variant` from the command line: passing, broken and unknown variants."""

import json
from pathlib import Path

from test_cli import lab

PLUGIN = Path(__file__).parents[1] / "plugins" / "my_variants.py"


def with_plugin(root: Path, text: str) -> None:
    # Not in the current folder, where its name would be an importable module.
    (root / "plugins").mkdir()
    (root / "plugins" / "my_variants.py").write_text(text, encoding="utf-8")
    with (root / "lab.toml").open("a", encoding="utf-8") as file:
        file.write('plugins = ["plugins/my_variants.py"]\n')


def test_a_kind_of_both_blocks_without_a_workspace(tmp_path: Path) -> None:
    shown = lab("check-variant", "dense", cwd=tmp_path).stdout
    assert "dense attention, checked on:" in shown
    assert "\n  n_heads=2 d_head=5" in shown
    assert "dense feedforward, checked on:" in shown
    assert "\n  d_ff=5" in shown
    assert "no token sees a later one" in shown
    assert "broken" not in shown
    assert "missing" not in shown
    assert not list(tmp_path.iterdir())


def test_a_plugin_that_breaks_a_promise(workspace) -> None:
    kept = "mixed = self.positions.attend(query, key, value, plan)"
    text = PLUGIN.read_text(encoding="utf-8")
    assert kept in text
    with_plugin(workspace.root, text.replace(kept, kept + ".flip(2)"))
    (kind,) = [line.split('"')[1] for line in text.splitlines() if "kind: Literal" in line]
    shown = lab("check-variant", kind, cwd=workspace.root, code=1).stdout
    assert "broken: no token sees a later one: changing token 1 changes predictions" in shown
    assert "promise: Changing a token changes its prediction and none before" in shown
    assert "missing: formulas: none for published" in shown
    (report,) = json.loads(lab("check-variant", kind, "--json", cwd=workspace.root, code=1).stdout)
    assert {f["check"] for f in report["findings"] if f["problem"]} >= {"no token sees a later one"}


def test_an_unknown_kind_names_the_known_ones(workspace) -> None:
    error = lab("check-variant", "mixture", cwd=workspace.root, code=2).stderr
    assert 'no variant of kind "mixture"; use one of attention: dense, ' in error
    assert "feedforward: dense, sigma_moe" in error
