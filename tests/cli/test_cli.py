"""The command line end to end: help, the main path, and one clear message per user error."""

import itertools
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from command_line import all_commands, is_group, lab, options_of
from finished_sweeps import swept
from tiny_sweep import SWEEP

# Commands that train, write or serve instead of printing a listing.
WITHOUT_JSON = {
    *("init", "train", "sweep run", "sweep stop", "sweep resume", "sweep retry", "worker"),
    *("data prepare", "data listops", "data digits"),
    *("runs sync", "audit", "generate", "ui"),
}
# All but `lab lm-eval`, whose options and help are lm-evaluation-harness's.
OUR_COMMANDS = [words for words in all_commands() if words != ("lm-eval",)]


@pytest.fixture
def root(workspace) -> Path:
    (workspace.sweeps_dir / "tiny.toml").write_text(SWEEP, encoding="utf-8")
    return workspace.root


@pytest.mark.parametrize("command", OUR_COMMANDS, ids=" ".join)
def test_every_command_has_help_with_an_example(command: tuple[str, ...]) -> None:
    from typer.testing import CliRunner

    from switchhead_lab.cli.app import app

    done = CliRunner().invoke(app, [*command, "--help"], env={"COLUMNS": "200"})
    assert done.exit_code == 0
    assert " ".join(["Example: lab", *command]) in done.output


@pytest.mark.parametrize("command", OUR_COMMANDS, ids=" ".join)
def test_help_flows_and_marks_flags_and_repeatable_options(command: tuple[str, ...]) -> None:
    from typer.testing import CliRunner

    from switchhead_lab.cli.app import app

    done = CliRunner().invoke(app, [*command, "--help"], env={"COLUMNS": "60"})
    assert "<bool>" not in done.output
    prose = "\n".join(map(str.strip, done.output.partition("\u256d")[0].splitlines()))
    for paragraph in prose.strip().split("\n\n")[1:]:  # after the usage
        for line, following in itertools.pairwise(paragraph.splitlines()):
            assert len(f"{line} {following.split()[0]}") > 58, paragraph
    for option in all_commands()[command].params:
        if option.param_type_name == "option":
            assert getattr(option, "multiple", False) == option.help.endswith("Repeatable.")


def test_every_listing_has_json() -> None:
    commands = all_commands()
    without = {
        " ".join(words)
        for words in OUR_COMMANDS
        if not is_group(commands[words]) and "--json" not in options_of(commands[words])
    }
    assert without == WITHOUT_JSON


def test_version() -> None:
    from switchhead_lab import __version__

    assert __version__ in lab("--version", cwd=Path.cwd()).stdout
    command = [sys.executable, "-m", "switchhead_lab", "--version"]
    assert __version__ in subprocess.run(command, capture_output=True, text=True).stdout


def test_match_prints_every_variant_and_its_budget(root: Path) -> None:
    rows = json.loads(lab("match", "tiny", "--json", cwd=root).stdout)
    assert [row["model"] for row in rows[:2]] == ["dense", "two-heads"]
    assert len(rows) == 2 + 8
    feasible = [row for row in rows if row["infeasible"] is None]
    assert all(abs(row["parameters_difference_fraction"]) < 0.01 for row in feasible)
    table = lab("match", "tiny", cwd=root).stdout
    assert f"{rows[0]['parameters'] / 1e3:.2f}k" in table
    assert "published convention" in table


def test_budget_of_a_sweep_and_of_a_configuration(root: Path, tmp_path: Path) -> None:
    of_sweep = json.loads(lab("budget", "tiny", "--json", cwd=root).stdout)
    assert list(of_sweep)[:2] == ["dense", "two-heads"]
    printed = lab("match", "tiny", "--toml", cwd=root).stdout
    path = tmp_path / "one.toml"
    path.write_text(printed.split("# two-heads")[0], encoding="utf-8")
    of_config = json.loads(lab("budget", path, "--json", cwd=root).stdout)
    assert of_config["one"] == of_sweep["dense"]
    assert list(of_config["one"]["costs"]) == ["equations", "published", "executed"]
    table = lab("budget", "tiny", "--convention", "equations", cwd=root).stdout
    assert "equations" in table
    assert "published" not in table
    assert max(map(len, lab("budget", "tiny", cwd=root).stdout.splitlines())) <= 80
    error = lab("budget", "tiny", "--convention", "mine", cwd=root, code=2).stderr
    assert "use all, equations, published, executed" in error


def test_matched_configurations_can_be_trained(root: Path, tmp_path: Path) -> None:
    printed = lab("match", "tiny", "--toml", cwd=root).stdout
    blocks = [block for block in printed.split("# ") if "(candidate)" in block]
    path = tmp_path / "one.toml"
    path.write_text("# " + blocks[0], encoding="utf-8")
    done = lab("train", path, "--name", "mine", "--set", "training.n_steps=2", cwd=root)
    assert "words-custom-mine-xl-lr0.003-0-" in done.stdout
    assert "validation perplexity" in done.stdout
    assert "already trained" not in done.stdout
    again = lab("train", path, "--name", "second", "--set", "training.n_steps=2", cwd=root)
    notice, result = again.stdout.splitlines()[:2]
    name = done.stdout.partition(":")[0]
    assert notice.startswith(f"already trained as run {name}, so nothing was trained; see `lab run")
    assert result.startswith(f"{name}: validation")


def test_a_file_of_several_configurations_is_rejected_with_their_names(root: Path) -> None:
    (root / "all.toml").write_text(lab("match", "tiny", "--toml", cwd=root).stdout, "utf-8")
    for command in ("train", "budget"):
        error = lab(command, "all.toml", cwd=root, code=2).stderr
        assert "(dense, two-heads, switchhead n_heads=1 n_experts=2 top_k=1, " in error
        assert "lab match NAME --toml --model MODEL" in error


def test_match_prints_one_model_for_train(root: Path) -> None:
    for model in ("dense", "switchhead n_heads=1 n_experts=2 top_k=2"):
        one = lab("match", "tiny", "--toml", "--model", model, cwd=root).stdout
        (root / "one.toml").write_text(one, encoding="utf-8")
        assert list(json.loads(lab("budget", "one.toml", "--json", cwd=root).stdout)) == ["one"]
        rows = json.loads(lab("match", "tiny", "--json", "--model", model, cwd=root).stdout)
        assert len(rows) == 1
    several = lab("match", "tiny", "--model", "switchhead", cwd=root, code=2).stderr
    assert "several models; give one of: switchhead n_heads=1 n_experts=2 top_k=1" in several
    unknown = lab("match", "tiny", "--model", "densee", cwd=root, code=2).stderr
    assert 'no such model (did you mean "dense"?)' in unknown


def test_main_path(root: Path) -> None:
    before = lab("sweep", "show", "tiny", cwd=root).stdout
    assert "times are unknown: no run has finished on this machine yet" in before
    first = lab("sweep", "tiny", cwd=root)
    assert "4 finished" in first.stdout
    assert "next: lab report tiny --size small" in first.stdout
    again = lab("sweep", "run", "sweeps/tiny.toml", cwd=root)
    assert "4 finished" in again.stdout
    assert "step" not in again.stderr
    after = lab("sweep", "show", "tiny", cwd=root).stdout
    assert "0 s left" in after
    (root / "sweeps" / "sub").mkdir()
    (root / "sweeps" / "tiny.toml").rename(root / "sweeps" / "sub" / "file.toml")
    for name in ("tiny", "sub/file", "sweeps/sub/file.toml"):
        assert "two-heads" in lab("report", name, cwd=root).stdout
        assert len(json.loads(lab("runs", "list", "--sweep", name, "--json", cwd=root).stdout)) == 4
    report = lab("report", "tiny", cwd=root / "sweeps").stdout
    assert "two-heads" in report
    (folder,) = (root / "reports").glob("tiny-small-*")
    for name in ("table.md", "table.tex", "table.csv", "provenance.json", "report.md"):
        assert (folder / name).is_file(), name
    assert list(folder.glob("*.png"))
    assert list(folder.glob("*.svg"))
    runs = json.loads(lab("runs", "list", "--json", cwd=root).stdout)
    assert len(runs) == 4


@pytest.mark.thorough
@pytest.mark.parametrize(("signal_number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_sweep_says_so_and_continues(
    root: Path, signal_number: signal.Signals, code: int
) -> None:
    # SIGINT is ignored in shells' background jobs, where this suite may run.
    reset = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    start = f"{reset}; from switchhead_lab.__main__ import main; main()"
    command = [sys.executable, "-c", start, "sweep", "tiny"]
    sizes = {"n_steps": 1500, "validate_every": 1500, "checkpoint_every": 50, "log_every": 50}
    arguments = [x for key, value in sizes.items() for x in ("--set", f"training.{key}={value}")]
    process = subprocess.Popen(
        [*command, *arguments], cwd=root, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    while not list(root.glob("runs/*/checkpoints/step-*/checkpoint.json")):
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal_number)
    _, errors = process.communicate()
    assert process.returncode == code
    assert f"interrupted by {signal_number.name}; the same command continues" in errors
    assert "Traceback" not in errors
    (run,) = json.loads(lab("runs", "list", "--json", cwd=root).stdout)
    assert run["state"] == "interrupted"
    # The interrupted step was completed.
    newest = sorted(root.glob("runs/*/checkpoints/step-*"))[-1]
    assert newest.name == f"step-{run['step']:08d}"
    if signal_number == signal.SIGTERM:  # once, since it is slow
        lab("train", next(root.glob("runs/*/config.toml")), cwd=root)
        (run,) = json.loads(lab("runs", "list", "--json", cwd=root).stdout)
        assert run["state"] == "finished"


@pytest.mark.thorough
def test_a_signal_during_the_kernel_build_leaves_no_files(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiler, cache = tmp_path / "slow-compiler", tmp_path / "cache"
    compiler.write_text("#!/bin/sh\nkill -USR1 $PPID\nexec sleep 60\n")
    compiler.chmod(0o755)
    monkeypatch.setenv("CXX", str(compiler))
    monkeypatch.setenv("SWITCHHEAD_KERNELS_CACHE", str(cache))
    command = [sys.executable, "-m", "switchhead_lab", "sweep", "tiny"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 138
    assert "interrupted by SIGUSR1; the same command continues" in done.stderr
    assert list(cache.iterdir()) == []


def test_an_unknown_device_is_an_error(root: Path) -> None:
    assert "--device: device" in lab("sweep", "tiny", "--device", "tpu", cwd=root, code=2).stderr


def test_sweep_list_marks_the_default_size(root: Path) -> None:
    listing = lab("sweep", "list", cwd=root).stdout
    assert "tiny" in listing
    assert "small*" in listing
    assert "a small one" in listing
    assert "no run has finished on this machine yet" in listing


def test_sweep_list_counts_finished_runs(root: Path) -> None:
    declared = lab("match", "tiny", "--toml", cwd=root).stdout.split("# ")[1]
    (root / "one.toml").write_text("# " + declared, encoding="utf-8")
    lab("train", "one.toml", cwd=root)
    (overview,) = json.loads(lab("sweep", "list", "--json", cwd=root).stdout)
    # Two declared models and a search of two trials; only the baseline was trained.
    assert (overview["n_runs"], overview["n_done"]) == (4, 1)
    assert overview["seconds_left"] > 0
    assert overview["macs"] > 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["sweep", "tinny"], 'no sweep "tinny" (did you mean "tiny"?)'),
        (["sweep", "tiny", "--size", "big"], 'no size "big"'),
        (["sweep", "tiny", "--set", "training.n_step=3"], 'did you mean "n_steps"'),
        (["match", "tiny", "--set", "model.d_model=15"], "multiple of 2"),
        (
            [
                "match",
                "tiny",
                "--set",
                "studies.switchhead.first=[{n_heads=1,n_experts=2,top_k=3}]",
            ],
            "add it to space.top_k",
        ),
        (["sweep", "tiny", "--set", "data.corpus=prose"], "prose"),
        (["train", "missing.toml"], "missing.toml: no such file"),
        (["report", "nothing"], "nothing"),
        (["report", "n" * 5000], "no sweep has been run"),
        (["train", "one.toml", "--name", "a/b"], "--name 'a/b': not a valid name"),
        (["train", "one.toml", "--name", "../../../escaped/x"], "not a valid name"),
        (["train", "one.toml", "--name", "n" * 250], "use 1 to 40 lower-case letters"),
        (["sweep", "tiny", "--set", "name=../x"], "name = '../x'"),
        (["sweep", "tiny", "--set", "baseline.name=a/b"], "baseline.name = 'a/b'"),
        (["data", "prepare", "sweeps/tiny.toml", "--name", "../x"], "corpus = '../x'"),
        (["runs", "show", "../data"], '"../data" is not a run'),
        (["runs", "list", "--sweep", "../x"], 'no runs of a sweep "../x"'),
        (["runs", "show", "nothing"], "nothing"),
        (["data", "prepare", "missing.txt", "--name", "m"], "missing.txt"),
        (["data", "prepare", "missing.txt"], "missing.txt: needs a name; add --name NAME"),
        (["data", "prepare", "sotu"], "`lab data prepare --name sotu`"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_user_errors_print_one_clear_message(
    root: Path, arguments: list[str], message: str
) -> None:
    before = sorted(root.rglob("*"))
    done = lab(*arguments, cwd=root, code=2)
    assert message in done.stderr.replace("\n", " ")
    assert done.stderr.startswith("error: ")
    assert sorted(root.rglob("*")) == before


@pytest.mark.parametrize(
    ("contents", "message"),
    [(b"", "empty"), (b"ab\x00cd" * 99, "binary"), (b"caf\xe9 " * 99, "UTF-8")],
    ids=["empty", "binary", "latin-1"],
)
def test_unusable_text_is_rejected(root: Path, tmp_path: Path, contents: bytes, message) -> None:
    path = tmp_path / "text.txt"
    path.write_bytes(contents)
    done = lab("data", "prepare", path, "--name", "mine", cwd=root, code=2)
    assert message in done.stderr
    assert str(path) in done.stderr
    assert not (root / "data" / "mine").exists()


@pytest.mark.parametrize("setting", ["data_dir", "runs_dir", "reports_dir"])
def test_an_unwritable_directory_is_named(root: Path, setting: str) -> None:
    """A folder below a file cannot be created, even by root."""
    if setting == "reports_dir":
        swept(root, "tiny")
    (root / "blocked").write_text("a file", encoding="utf-8")
    settings = (root / "lab.toml").read_text(encoding="utf-8")
    (root / "lab.toml").write_text(f'{settings}{setting} = "blocked/x"\n', encoding="utf-8")
    if setting == "data_dir":
        command = ["data", "prepare", root / "sweeps" / "tiny.toml", "--name", "mine"]
    elif setting == "runs_dir":
        command = ["sweep", "tiny"]
    else:
        command = ["report", "tiny"]
    done = lab(*command, cwd=root, code=2)
    assert str(root / "blocked" / "x") in done.stderr


def test_outside_a_workspace(tmp_path: Path) -> None:
    assert "set LAB_HOME" in lab("sweep", "list", cwd=tmp_path, code=2).stderr
