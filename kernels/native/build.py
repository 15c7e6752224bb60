"""Builds the CPU kernels on first use, if there is a compiler, and caches them.

The cache has one library per version of the sources, PyTorch, compiler options and CPU, each with a
hash of its contents; a damaged one is rebuilt.
"""

import ctypes
import functools
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

import torch

CACHE_VARIABLE = "SWITCHHEAD_KERNELS_CACHE"
# The compiler's -march: "native", or less, such as "x86-64-v3" for AVX2.
MARCH_VARIABLE = "SWITCHHEAD_KERNELS_MARCH"
_SHARED_HEADERS = Path(__file__).parent
_KERNELS = _SHARED_HEADERS.parent  # one folder per operator, with its C++
_SOURCES = sorted(_KERNELS.glob("*/*.cpp"))
_HEADERS = sorted(_KERNELS.glob("*/*.h"))
_FLAGS = (
    *("-O3", "-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math"),
    *("-std=c++17", "-fopenmp", "-shared", "-fPIC"),
)
_BUILD_SECONDS = 600


class KernelUnavailableError(RuntimeError):
    """The kernel cannot be built or loaded here; the message says why."""


@functools.cache
def load() -> ctypes.CDLL:
    """Load the kernels; build them if necessary.

    Raises:
        KernelUnavailableError: If there is no library and none can be built.
    """
    if platform.system() != "Linux":
        raise KernelUnavailableError("they are built on Linux only")
    library = library_path()
    if not _is_intact(library):
        _build(library)
    try:
        return ctypes.CDLL(str(library))
    except OSError as error:
        raise KernelUnavailableError(f"{library} does not load: {error}") from None


def _constant_when_compiled(function: Callable[[], str]) -> Callable[[], str]:
    """Mark a function whose result torch.compile may keep.

    `torch.compiler.assume_constant_result` does the same, but imports the compiler, which takes a
    third of the time of `import switchhead_kernels`.
    """
    function._dynamo_marked_constant = True  # type: ignore[attr-defined]
    return function


@functools.cache
@_constant_when_compiled
def why_unavailable() -> str:
    """Return why the kernels cannot be used here, empty if they can; builds them if necessary.

    The first failure also warns.
    """
    try:
        load()
    except KernelUnavailableError as error:
        warnings.warn(f"no fused CPU kernels: {error}; training steps are slower", stacklevel=2)
        return str(error)
    return ""


def library_path() -> Path:
    """Return the path of the library for these sources, PyTorch and CPU."""
    digest = hashlib.sha256()
    for path in (*_SOURCES, *_HEADERS):
        name = path.relative_to(_KERNELS).as_posix()
        digest.update(name.encode() + b"\0" + path.read_bytes())
    for part in (*_flags(), torch.__version__, platform.machine(), _cpu_flags()):
        digest.update(part.encode() + b"\0")
    return cache_dir() / f"kernels-{digest.hexdigest()[:16]}.so"


def cache_dir() -> Path:
    """Return the cache folder: the environment variable's, else one in the user's cache.

    Raises:
        KernelUnavailableError: If neither is known. A shared folder is no fallback: other users
            could place libraries there, which this process would load.
    """
    named = os.environ.get(CACHE_VARIABLE)
    if named:
        return Path(named)
    base = os.environ.get("XDG_CACHE_HOME")
    if base:
        return Path(base) / "switchhead_kernels"
    try:
        return Path.home() / ".cache" / "switchhead_kernels"
    except RuntimeError:  # no HOME and no entry in the password database
        raise KernelUnavailableError(
            f"the home folder is not known; set HOME, XDG_CACHE_HOME or {CACHE_VARIABLE}"
        ) from None


def find_compiler() -> str | None:
    """Return the C++ compiler: `CXX`, else g++ or clang++; None if there is none."""
    named = os.environ.get("CXX")
    candidates = [named] if named else ["g++", "clang++"]
    return next((path for name in candidates if (path := shutil.which(name))), None)


def _flags() -> tuple[str, ...]:
    return (f"-march={os.environ.get(MARCH_VARIABLE) or 'native'}", *_FLAGS)


def _build(library: Path) -> None:
    """Compile to a temporary file, then move it into place, its hash last."""
    compiler = find_compiler()
    if compiler is None:
        raise KernelUnavailableError("no C++ compiler was found (CXX, g++, clang++)")
    torch_libraries = Path(torch.__file__).parent / "lib"
    link = (f"-L{torch_libraries}", "-ltorch_cpu", f"-Wl,-rpath,{torch_libraries}")
    try:
        library.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=library.parent, prefix=".build-") as folder:
            built = Path(folder) / library.name
            sources = (f"-I{_SHARED_HEADERS}", *map(str, _SOURCES))
            command = [compiler, *_flags(), *sources, "-o", str(built), *link]
            subprocess.run(
                command,
                check=True,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=_BUILD_SECONDS,
            )
            hashed = built.with_suffix(".sha256")
            hashed.write_text(_sha256(built), encoding="ascii")
            built.replace(library)
            hashed.replace(library.with_suffix(".sha256"))
    except subprocess.CalledProcessError as error:
        first = next((line for line in error.stderr.splitlines() if line.strip()), "no message")
        raise KernelUnavailableError(f"{compiler} failed: {first}") from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise KernelUnavailableError(f"{library.parent}: {error}") from None


def _is_intact(library: Path) -> bool:
    try:
        expected = library.with_suffix(".sha256").read_text(encoding="ascii")
        return _sha256(library) == expected
    except (OSError, UnicodeDecodeError):
        return False


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _cpu_flags() -> str:
    """Return the CPU's instruction sets, which the compiler may use."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            lines = (line for line in file if line.startswith(("flags", "Features")))
            return next(lines, platform.processor())
    except OSError:
        return platform.processor()
