"""A workspace in which the documents' commands take seconds: their sweeps and files, but tiny."""

import json
import random
import shutil
import tomllib
from copy import deepcopy
from pathlib import Path
from typing import Any

import tomli_w
from command_line import lab
from documents import ROOT, code_blocks, read_document

from switchhead_lab.config.workspace import find_workspace
from switchhead_lab.data.token_store import register

DOCUMENTED_RUN = "3fb2c1"
"""The start of a hash that documents use as an example."""
_SHIPPED = ("matched-params", "matched-macs", "matching-rules", "ladder", "digits")
_TRAINING = {
    "n_steps": 4,
    "batch_size": 8,
    "n_warmup_steps": 1,
    "validate_every": 2,
    "checkpoint_every": 2,
    "log_every": 1,
    "precision": "fp32",
}
_SYLLABLES = ("ba", "ke", "lo", "mi", "nu", "ra", "se", "to", "vi", "zu")


def make_workspace(root: Path, words: Path) -> None:
    """Create the workspace, with finished runs of two sweeps.

    Args:
        root: Folder to create.
        words: Text of the corpus "words", which the sweeps train on.
    """
    (root / "sweeps").mkdir(parents=True)
    plugin = ROOT / "tests/plugins/my_variants.py"
    shutil.copy(plugin, root)
    (root / "lab.toml").write_text(
        f'tracking_uri = "none"\ndevice = "cpu"\nplugins = ["{plugin.name}"]\n', encoding="utf-8"
    )
    for name in _SHIPPED:
        _write_sweep(root, tomllib.loads(read_document(f"sweeps/{name}.toml")))
    _write_sweep(root, _documented_sweep())
    _write_texts(root)
    register(find_workspace(root, environment={}).data_dir, words, "words")
    for name in ("matched-params", "matched-macs"):
        lab("sweep", name, "--size", "demo", cwd=root)
    matched = lab(
        *("match", "matched-params", "--size", "demo", "--model", "dense", "--toml"), cwd=root
    )
    (root / "my-model.toml").write_text(matched.stdout, encoding="utf-8")


def hash_of_a_run(root: Path) -> str:
    """Return the hash of a finished run of the dense baseline."""
    run = min((root / "runs").glob("*-demo-dense-xl-*/result.json")).parent
    return run.name.rpartition("-")[2]


def _documented_sweep() -> dict[str, Any]:
    """Return the sweep file that the documents write, with the claim that they add to it."""
    (sweep,) = [
        block
        for block in code_blocks(read_document("docs/comparison.md"), "toml")
        if "[sizes." in block
    ]
    (claim,) = code_blocks(read_document("docs/claims.md"), "toml")
    return tomllib.loads(f"{sweep}\n{claim}")


def _write_sweep(root: Path, declaration: dict[str, Any]) -> None:
    path = root / "sweeps" / f"{declaration['name']}.toml"
    path.write_text(tomli_w.dumps(_tiny(declaration)), encoding="utf-8")


def _tiny(declaration: dict[str, Any]) -> dict[str, Any]:
    """Return a sweep with the same models, searches, claims and names of sizes, but tiny."""
    tree = deepcopy(declaration)
    if "kind" in tree["data"]:
        tree["data"] |= {"n_train": 64, "n_validation": 32, "n_test": 32}
    else:
        tree["data"] = {"corpus": "words", "tokenizer": {"kind": "byte"}}
        tree["model"]["seq_len"] = 8
    tree["model"] |= {"d_model": 32, "n_layers": 1}
    tree["training"] |= _TRAINING
    tree["baseline"] |= {"d_head": 8, "d_ff": 64}
    for study in tree.get("studies", ()):
        study["n_trials"] = 2
        for unused in ("first", "n_startup_trials", "n_pruning_warmup_steps"):
            study.pop(unused, None)
    for part in (tree["baseline"], *tree.get("models", ()), *tree.get("studies", ())):
        part["seeds"] = [0, 1]
    for claim in tree.get("claims", ()):
        claim["max_seeds"] = 4
    widths = range(16, 1000, 16) if "ladder" in tree else [32] * len(tree["sizes"])
    tree["sizes"] = {
        size: {"model": {"d_model": width}}
        for size, width in zip(tree["sizes"], widths, strict=False)
    }
    return tree


def _write_texts(root: Path) -> None:
    """Write the texts that documents name; their words are enough for 2048 pieces."""
    draw = random.Random(0)
    words = ["".join(draw.choices(_SYLLABLES, k=draw.randint(1, 5))) for _ in range(5_000)]
    lines = [" ".join(draw.choices(words, k=8)) for _ in range(6_000)]
    (root / "notes.txt").write_text("\n".join(lines), encoding="utf-8")
    (root / "speech.txt").write_text("\n".join(lines[:20]), encoding="utf-8")
    reviews = [json.dumps({"text": line}) for line in lines]
    (root / "reviews.jsonl").write_text("\n".join(["not JSON", *reviews]), encoding="utf-8")
    (root / "articles").mkdir()
    for number in range(40):
        text = "\n".join(lines[number * 150 : (number + 1) * 150])
        (root / f"articles/{number}.txt").write_text(text, encoding="utf-8")
