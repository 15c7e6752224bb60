"""A workspace whose settings load the example plugin, with a sweep on the corpus "words"."""

import shutil
from collections.abc import Callable
from pathlib import Path

from switchhead_lab.data.token_store import register

PLUGIN = Path(__file__).parent / "plugins" / "my_variants.py"


def make_plugin_workspace(
    root: Path, write_corpus: Callable[..., Path], sweep: str, settings: str = ""
) -> None:
    """Create the workspace, without runs.

    Args:
        root: Folder to create.
        write_corpus: The fixture of this name.
        sweep: Declaration of the sweep "tiny".
        settings: Lines of lab.toml besides device and plugins.
    """
    (root / "sweeps").mkdir(parents=True)
    shutil.copy(PLUGIN, root)
    text = f'{settings}device = "cpu"\nplugins = ["{PLUGIN.name}"]\n'
    (root / "lab.toml").write_text(text, encoding="utf-8")
    (root / "sweeps/tiny.toml").write_text(sweep, encoding="utf-8")
    register(root / "data", write_corpus(root / "words.txt"), "words")
