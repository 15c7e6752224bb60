"""The CPU kernels: built once, cached, rebuilt if damaged, optional without a compiler."""

import os
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch

from switchhead_kernels.expert_matmul import choose_backend
from switchhead_kernels.native import build
from switchhead_kernels.native.build import KernelUnavailableError

PROGRAM = """
import sys, torch
from switchhead_kernels.expert_matmul import expert_matmul, make_routing
torch.manual_seed(0)
x, w, gate = torch.randn(9, 4), torch.randn(2, 3, 4, 5), torch.rand(9, 2, 2)
routing = make_routing(torch.rand(9, 2, 3).topk(2, -1).indices, 3)
for backend in sys.argv[1:]:
    out = expert_matmul(x, w, routing, gate, rows_in="token", rows_out="head", backend=backend)
    out = expert_matmul(x, w, routing, gate, rows_in="token", rows_out="head", backend=backend)
    print(f"{out.double().square().sum().item():.4f}")
"""


def run(cache: Path, *backends: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the backends in a separate process with a separate cache."""
    variables = {**os.environ, build.CACHE_VARIABLE: str(cache), **environment}
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, *backends],
        capture_output=True,
        text=True,
        env=variables,
        check=False,
    )


def built_files(cache: Path) -> list[Path]:
    return sorted(cache.iterdir())


@pytest.mark.thorough
def test_built_on_first_use_and_then_cached(tmp_path: Path) -> None:
    first = run(tmp_path, "cpu", "reference")
    assert first.returncode == 0, first.stderr
    assert len(set(first.stdout.split())) == 1
    library, sha256 = sorted(built_files(tmp_path), key=lambda path: path.suffix, reverse=True)
    assert (library.suffix, sha256.suffix) == (".so", ".sha256")
    made_at = library.stat().st_mtime_ns
    assert run(tmp_path, "cpu", CXX="/no/compiler").stdout == first.stdout.split()[0] + "\n"
    assert library.stat().st_mtime_ns == made_at


@pytest.mark.thorough
def test_sources_options_pytorch_and_cpu_have_libraries_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(build.CACHE_VARIABLE, str(tmp_path))
    paths = [build.library_path()]
    for owner, name, value in (
        (build, "_SOURCES", build._SOURCES[1:]),
        (build, "_FLAGS", ("-O1",)),
        (build, "_cpu_flags", lambda: "another"),
        (torch, "__version__", "0.1"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, value)
            paths.append(build.library_path())
    monkeypatch.setenv(build.MARCH_VARIABLE, "x86-64-v3")
    paths.append(build.library_path())
    assert len(set(paths)) == 6
    assert {path.parent for path in paths} == {tmp_path}


@pytest.fixture
def copied(tmp_path: Path) -> tuple[Path, str]:
    """A cache with this machine's library, and a "compiler" that copies that library."""
    good = build.library_path()
    build.load()
    compiler = tmp_path / "copies"
    compiler.write_text(
        "#!/bin/sh\n"
        'while [ "$1" != -o ]; do shift; done\n'
        f'cp "{good}" "$2" && echo built >> "{tmp_path / "builds"}"\n'
    )
    compiler.chmod(0o755)
    cache = tmp_path / "cache"
    cache.mkdir()
    for path in (good, good.with_suffix(".sha256")):
        shutil.copy(path, cache)
    return cache, str(compiler)


@pytest.mark.thorough
@pytest.mark.parametrize("damage", ["none", "cut", "changed", "hash lost"])
def test_a_damaged_library_is_rebuilt(copied: tuple[Path, str], damage: str) -> None:
    cache, compiler = copied
    library = next(path for path in built_files(cache) if path.suffix == ".so")
    contents = library.read_bytes()
    if damage == "cut":
        library.write_bytes(contents[:1000])
    elif damage == "changed":
        library.write_bytes(contents[:3000] + b"\xff" * 64 + contents[3064:])
    elif damage == "hash lost":
        library.with_suffix(".sha256").unlink()
    done = run(cache, "cpu", "reference", CXX=compiler)
    assert done.returncode == 0, done.stderr
    assert len(set(done.stdout.split())) == 1
    assert library.read_bytes() == contents
    assert library.with_suffix(".sha256").exists()
    n_builds = Path(compiler).with_name("builds")
    assert n_builds.exists() == (damage != "none")


@pytest.mark.thorough
def test_without_a_compiler_it_warns_once(tmp_path: Path) -> None:
    done = run(tmp_path, "auto", "auto", "reference", CXX="/no/such/compiler")
    assert done.returncode == 0, done.stderr
    assert len(set(done.stdout.split())) == 1
    assert done.stderr.count("no fused CPU kernels: no C++ compiler was found") == 1
    assert not built_files(tmp_path)


@pytest.mark.thorough
def test_a_compiler_that_fails_is_named_with_its_first_message(tmp_path: Path) -> None:
    compiler = tmp_path / "broken"
    compiler.write_text("#!/bin/sh\necho 'disk on fire' >&2\nexit 1\n")
    compiler.chmod(0o755)
    done = run(tmp_path / "cache", "auto", CXX=str(compiler))
    assert done.returncode == 0, done.stderr
    assert f"no fused CPU kernels: {compiler} failed: disk on fire" in done.stderr


@pytest.mark.thorough
def test_a_cache_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    done = run(blocked / "cache", "auto", "reference")
    assert done.returncode == 0, done.stderr
    assert "no fused CPU kernels" in done.stderr


def test_the_cpu_backend_by_name_must_be_available(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise KernelUnavailableError("no C++ compiler was found")

    monkeypatch.setattr(build, "load", refuse)
    build.why_unavailable.cache_clear()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert choose_backend(torch.empty(2, 4), torch.empty(1, 2, 4, 4), 1) == "dense"
    finally:
        build.why_unavailable.cache_clear()


def test_without_a_home_there_is_no_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(uid: int) -> None:
        raise KeyError(uid)

    for name in ("HOME", "XDG_CACHE_HOME", build.CACHE_VARIABLE):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", nobody)
    with pytest.raises(KernelUnavailableError, match="the home folder is not known; set HOME"):
        build.library_path()
