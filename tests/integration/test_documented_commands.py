"""Every command and Python example of the documents runs, in order, page by page."""

import shlex
import shutil
from pathlib import Path

import pytest
from command_line import lab
from documented_workspace import DOCUMENTED_RUN, hash_of_a_run, make_workspace
from documents import code_blocks, pages, read_document, shell_lines

NOT_RUN = {
    "make demo": "installs packages; test_makefile.py checks its commands, which run here",
    "make test": "it is this suite",
    "make gpu": "needs a GPU; tests/benchmark/test_gpu_dry_run.py runs its parts dry",
    "lab data prepare wikitext-103/ --name wikitext103": "needs the published files",
    "lab data prepare --name c4 --max-train-tokens 100000000": "needs a network",
    "lab eval 3fb2c1 --tasks blimp --data-root zero-shot/": "needs the published files",
    "lab eval compare 3fb2c1 a9d04e": (
        "needs a second evaluated run; tests/cli/test_cli_evaluation.py compares two"
    ),
    "torchrun --nproc-per-node 2 -m switchhead_lab train model.toml "
    "--set training.micro_batch_size=8": "tests/integration/test_torchrun.py runs two ranks",
    "lab sweep matched-params --workers 8 --on slurm": (
        "needs Slurm; tests/drills/test_slurm.py starts one"
    ),
    "lab sweep matched-params --workers 8 --on ray --cluster address=10.0.0.1:6379": (
        "needs a cluster; tests/sweeping/test_ray_workers.py starts one"
    ),
    "lab sweep matched-params --size demo --device cuda": "needs a GPU",
    "lab sweep matched-params --size demo --set training.capture_step=true": "needs a GPU",
    "lab sweep matched-params --size demo --set training.compile_blocks=true": (
        "compiles for minutes; tests/numerics/test_compiled_blocks.py compiles a block"
    ),
    "lab init --database postgresql://lab@database/lab": (
        "needs a PostgreSQL server; tests/cli/test_cli_init.py starts one"
    ),
    "lab init --artifacts s3://bucket/lab": (
        "needs an object store; tests/integration/test_object_store.py starts one"
    ),
    "lab ui --host 0.0.0.0": (
        "serves until it is stopped; tests/tracking/test_mlflow_access.py starts it"
    ),
    "lab bench neighbour matched-params --setting GOMP_SPINCOUNT=10000": (
        "keeps all cores busy; tests/cli/test_cli_bench.py runs it shorter"
    ),
}
LINES = {page: shell_lines(read_document(page)) for page in pages()}
PYTHON = {page: code_blocks(read_document(page), "python") for page in pages()}


def test_what_is_not_run_occurs_and_the_rest_can_run() -> None:
    lines = {line for page in LINES.values() for line in page}
    assert NOT_RUN.keys() <= lines
    assert all(NOT_RUN.values())
    assert [line for line in lines - NOT_RUN.keys() if not line.startswith("lab ")] == []


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory, write_corpus) -> Path:
    """A workspace that every page starts from."""
    folder = tmp_path_factory.mktemp("documents")
    make_workspace(folder / "lab", write_corpus(folder / "words.txt"))
    return folder / "lab"


@pytest.mark.thorough
@pytest.mark.parametrize("page", [page for page in pages() if LINES[page] or PYTHON[page]])
def test_what_a_page_shows_runs(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, page: str
) -> None:
    root = tmp_path / "lab"
    shutil.copytree(prepared, root)
    run = hash_of_a_run(root)
    for line in LINES[page]:
        if line not in NOT_RUN:
            lab(*shlex.split(line.replace(DOCUMENTED_RUN, run))[1:], cwd=root)
    monkeypatch.chdir(root)
    for block in PYTHON[page]:
        if "transformers" in block:
            cache = str(tmp_path / "modules")
            monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", cache)
        exec(block.replace(DOCUMENTED_RUN, run), {})
