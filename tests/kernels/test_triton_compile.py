"""Resource usage of the Triton kernels, compiled for GPUs that need not be present.

Compares with `triton_baseline.csv`. To record it again after an intended change:
`SWITCHHEAD_RECORD_TRITON=1 pytest -m slow tests/kernels/test_triton_compile.py`.

Kernels compile in a child process without the interpreter; `python test_triton_compile.py usual`
prints the table.
"""

import csv
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from comparison import SHARED_MEMORY

pytestmark = pytest.mark.thorough

BASELINE = Path(__file__).with_name("triton_baseline.csv")
RECORD = "SWITCHHEAD_RECORD_TRITON"

SHARED_LIMIT = {
    **{"sm_80": SHARED_MEMORY["A100"], "sm_90": SHARED_MEMORY["H100"]},
    "gfx942": SHARED_MEMORY["MI300"],
}
TENSOR_CORES = {"sm_80": r"mma\.sync", "sm_90": r"wgmma\.mma_async|mma\.sync", "gfx942": "v_mfma"}
# Loads of 16 bytes, and of one bfloat16.
WIDE = {
    "sm": r"cp\.async\.cg\.shared\.global|ld\.global\S*\.v4\.b32",
    "gfx": r"(?:global|buffer)_load_dwordx4",
}
SCALAR = {"sm": r"ld\.global\S*\.b16", "gfx": r"(?:global|buffer)_load_(?:ushort|short)"}
# ptxas prefers a few spills to one warp less; at 255 registers it has no choice.
SPILL_LIMIT = 32
SIZES = {"416x80": (416, 80), "1024x64": (1024, 64), "412x76": (412, 76)}
UNALIGNED = "412x76"
MAIN_TARGET = "sm_90"
WITHOUT_MATMULS = ("sum", "relative_softmax", "relative_softmax_gradient", "largest_indices")
N_GROUPS, TOP_K, BUCKET = 10, 2, 2048


class Kernel(NamedTuple):
    """A kernel with everything the compiler needs."""

    name: str
    target: str
    dtype: str
    sizes: str
    projection: str
    function: Any
    config: Any
    types: dict[str, str | None]
    constants: dict[str, Any]


FIELDS = ("kernel", "target", "dtype", "sizes", "projection", "tile")
MEASURED = ("registers", "spill", "shared", "tensor_cores", "wgmma", "wide_loads", "scalar_loads")
RECORDED = ("registers", "spill", "shared")


def matmuls(target: str, dtype: str, sizes: str, projection: str) -> Iterator[Kernel]:
    from switchhead_kernels.expert_matmul import (
        triton_all_columns,
        triton_configs,
        triton_matmul,
    )

    width_in, width_out = SIZES[sizes] if projection == "value" else SIZES[sizes][::-1]
    per_x, per_out = (2 * TOP_K, TOP_K) if projection == "value" else (TOP_K, 2 * TOP_K)
    for name in ("forward", "input_gradient"):
        is_gradient = name == "input_gradient"
        if is_gradient:
            width_in, width_out, per_x, per_out = width_out, width_in, per_out, per_x
        problem = triton_configs.Problem(
            *(BUCKET, width_out, N_GROUPS),
            *(2 if dtype == "bf16" else 4, SHARED_LIMIT[target], is_gradient),
            depth=width_in,
        )
        types = {
            **{"x_ptr": f"*{dtype}", "weight_ptr": f"*{dtype}", "order_ptr": "*i64"},
            **{"offset_ptr": "*i32", "gate_ptr": "*fp32", "out_ptr": f"*{dtype}"},
            "other_ptr": f"*{dtype}" if is_gradient else None,
            "dot_ptr": "*fp32" if is_gradient else None,
        }
        constants = {
            **{"N_GROUPS": N_GROUPS, "WIDTH_IN": width_in, "WIDTH_OUT": width_out},
            "STRIDE": -(-(width_in if is_gradient else width_out) // 8) * 8,
            **{"TRANSPOSED": is_gradient, "PER_X": per_x, "PER_OUT": 1, "PER_OTHER": per_out},
            **{"PRECISION": "ieee", "UPCAST": False, "HAS_TAIL": problem.has_tail},
        }
        looped = problem.looped_config
        for config in (*triton_configs.matmul_configs(problem), *filter(None, [looped])):
            function = triton_matmul.matmul_kernel
            if config is looped:
                function = triton_all_columns.all_columns_kernel
            key = (name, target, dtype, sizes, projection)
            yield Kernel(*key, function, config, types, constants)


def weight_gradients(target: str, dtype: str, sizes: str, projection: str) -> Iterator[Kernel]:
    from switchhead_kernels.expert_matmul import triton_backward, triton_configs

    wide, narrow = SIZES[sizes]
    is_value = projection == "value"
    problem = triton_configs.Problem(
        *(wide, narrow, N_GROUPS, 2 if dtype == "bf16" else 4, SHARED_LIMIT[target]),
        is_weight_gradient=True,
    )
    types = {
        **{"wide_ptr": f"*{dtype}", "narrow_ptr": f"*{dtype}", "order_ptr": "*i64"},
        **{"offset_ptr": "*i32", "gate_ptr": "*fp32", "out_ptr": "*fp32"},
    }
    constants = {
        **{"N_GROUPS": N_GROUPS, "WIDE": wide, "NARROW": narrow, "N_SPLITS": 2},
        **{"PER_WIDE": 2 * TOP_K, "PER_NARROW": TOP_K},
        **{"STRIDE_WIDE": narrow if is_value else 1, "STRIDE_NARROW": 1 if is_value else wide},
        **{"PRECISION": "ieee", "UPCAST": False},
    }
    for config in triton_configs.weight_gradient_configs(problem):
        function = triton_backward.weight_gradient_kernel
        key = ("weight_gradient", target, dtype, sizes, projection)
        yield Kernel(*key, function, config, types, constants)


def sums(target: str, dtype: str, sizes: str) -> Kernel:
    import triton

    from switchhead_kernels.expert_matmul import triton_sums

    width = SIZES[sizes][0]
    return Kernel(
        *("sum", target, dtype, sizes, "output", triton_sums.sum_kernel),
        triton.Config({"BLOCK_ROWS": 4, "BLOCK_WIDTH": 256}, num_warps=4),
        {"part_ptr": f"*{dtype}", "out_ptr": f"*{dtype}"},
        {"STRIDE_ROW": 4 * width, "WIDTH": width, "N_PARTS": 4},
    )


def passes(target: str, dtype: str) -> Iterator[Kernel]:
    """Yield the kernels without matmuls, at the paper's 47M size."""
    import triton

    from switchhead_kernels.relative_attention import triton_softmax
    from switchhead_kernels.top_k import triton_top_k

    shape = {"T": 256, "S": 512, "R": 520}
    rows = dict.fromkeys(("content_ptr", "by_distance_ptr", "mask_ptr"), f"*{dtype}")
    backward = dict.fromkeys(("grad_ptr", "weight_ptr", "by_distance_ptr"), f"*{dtype}")
    block = {"BLOCK_S": 512}
    largest = {"score_ptr": "*fp32", "index_ptr": "*i64"}
    for name, types, constants, blocks in (
        ("relative_softmax", rows, {**shape, "MASK_ROWS": 256}, block),
        (
            "relative_softmax",
            {**rows, "mask_ptr": None},
            {**shape, "MASK_ROWS": 0},
            {"BLOCK_S": 512},
        ),
        ("relative_softmax_gradient", backward, shape, {**block, "BLOCK_R": 1024}),
        ("largest_indices", largest, {"E": 5, "K": 2}, {"BLOCK_ROWS": 256, "BLOCK_E": 8}),
    ):
        module = triton_top_k if name == "largest_indices" else triton_softmax
        function = getattr(module, f"{name}_kernel")
        projection = "masked" if types.get("mask_ptr") else "rows"
        config = triton.Config(blocks, num_warps=4)
        yield Kernel(name, target, dtype, "-", projection, function, config, types, constants)


def variants(kernel: Kernel) -> Iterator[Kernel]:
    """Yield a forward kernel with each option that the tables omit."""
    added = {**kernel.constants, "PER_OUT": 2 * TOP_K}
    exact = {**kernel.types, "out_ptr": "*fp32"}
    yield kernel._replace(name="forward_atomic", types=exact, constants=added)
    halves = {name: text and text.replace("bf16", "fp16") for name, text in kernel.types.items()}
    plain = {**halves, "gate_ptr": None, "out_ptr": "*fp16"}
    yield kernel._replace(name="forward_ungated", dtype="fp16", types=plain)
    singles = {name: text and text.replace("bf16", "fp32") for name, text in kernel.types.items()}
    rounded = {**kernel.constants, "PRECISION": "tf32", "HAS_TAIL": False}
    tf32 = kernel._replace(name="forward_tf32", dtype="fp32", types=singles, constants=rounded)
    yield tf32._replace(config=next(matmuls(kernel.target, "fp32", "416x80", "value")).config)


def kernels(selection: str) -> Iterator[Kernel]:
    """Yield all kernels, or the usual ones.

    Usual are all tiles of one size on the main target and one tile of other sizes; on other targets
    one tile of each kernel in bfloat16.
    """
    for target in SHARED_LIMIT:
        is_whole = selection == "all" or target == MAIN_TARGET
        for dtype in ("bf16", "fp32") if is_whole else ("bf16",):
            yield from passes(target, dtype)
            for sizes in SIZES:
                is_main = dtype == "bf16" and sizes == "416x80"
                yield sums(target, dtype, sizes)
                for projection in ("value", "output"):
                    key = (target, dtype, sizes, projection)
                    groups: dict[str, list[Kernel]] = {}
                    for kernel in (*matmuls(*key), *weight_gradients(*key)):
                        groups.setdefault(kernel.name, []).append(kernel)
                    if is_main and projection == "value":
                        yield from variants(groups["forward"][2])
                    for group in groups.values():
                        if selection == "all" or (is_main and projection == "value"):
                            yield from group if is_whole else group[:1]
                        elif projection == "output" and sizes != "1024x64":
                            yield group[-1]


def compile_kernel(kernel: Kernel) -> dict[str, Any]:
    import triton
    from triton.backends.compiler import GPUTarget

    is_cuda = kernel.target.startswith("sm")
    architecture = int(kernel.target.removeprefix("sm_")) if is_cuda else kernel.target
    target = GPUTarget("cuda" if is_cuda else "hip", architecture, 32 if is_cuda else 64)
    signature, constants, hints = {}, {}, {}
    known = {**kernel.constants, **kernel.config.kwargs}
    for position, name in enumerate(kernel.function.arg_names):
        kind = kernel.types.get(name)
        if kind is not None:
            signature[name], hints[(position,)] = kind, [["tt.divisibility", 16]]
        elif name in known or name in kernel.types:
            signature[name], constants[name] = "constexpr", known.get(name)
        else:
            signature[name] = "i32"
    source = triton.compiler.ASTSource(kernel.function, signature, constants, hints)
    options = {"num_warps": kernel.config.num_warps, "num_stages": kernel.config.num_stages}
    compiled = triton.compile(source, target=target, options=options)
    return measure(compiled, kernel)


def measure(compiled: Any, kernel: Kernel) -> dict[str, Any]:
    family = "sm" if kernel.target.startswith("sm") else "gfx"
    text = compiled.asm["ptx" if family == "sm" else "amdgcn"]
    registers, spill = (nvidia_usage if family == "sm" else amd_usage)(compiled)
    config = kernel.config
    tile = "x".join(str(size) for size in config.kwargs.values())
    tile += " looped" if type(config).__name__ == "LoopedConfig" else ""
    counts = {
        "tensor_cores": TENSOR_CORES[kernel.target],
        "wgmma": r"wgmma\.mma_async",
        "wide_loads": WIDE[family],
        "scalar_loads": SCALAR[family],
    }
    return {
        **{field: getattr(kernel, field) for field in FIELDS[1:-1]},
        **{"kernel": kernel.name, "tile": f"{tile} w{config.num_warps} s{config.num_stages}"},
        **{"registers": registers, "spill": spill, "shared": compiled.metadata.shared},
        **{name: len(re.findall(pattern, text)) for name, pattern in counts.items()},
    }


def nvidia_usage(compiled: Any) -> tuple[int, int]:
    """Return registers per thread, and spilled bytes, which are on its stack."""
    import triton

    tool = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(compiled.asm["cubin"])
        file.flush()
        command = [tool, "-res-usage", file.name]
        text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    registers, stack = re.search(r"REG:(\d+) STACK:(\d+)", text).groups()
    return int(registers), int(stack)


def amd_usage(compiled: Any) -> tuple[int, int]:
    text = compiled.asm["amdgcn"]
    names = ("vgpr_count", "vgpr_spill_count")
    registers, spill = (int(re.search(rf"\.{name}:\s+(\d+)", text)[1]) for name in names)
    return registers, spill


def version() -> str:
    import triton

    return f"# triton {triton.__version__}"


def key_of(row: dict[str, str]) -> tuple[str, ...]:
    return tuple(row[field] for field in FIELDS)


def read_baseline() -> tuple[str, dict[tuple[str, ...], dict[str, str]]]:
    first, *lines = BASELINE.read_text(encoding="utf-8").splitlines()
    return first, {key_of(row): row for row in csv.DictReader(lines)}


@pytest.fixture(scope="module", params=["usual", pytest.param("all", marks=pytest.mark.slow)])
def table(request: pytest.FixtureRequest, tmp_path_factory: Any) -> list[dict[str, str]]:
    """Return the usage of compiled kernels; numbers are strings."""
    environment = {name: text for name, text in os.environ.items() if name != "TRITON_INTERPRET"}
    environment["TRITON_CACHE_DIR"] = str(tmp_path_factory.mktemp("triton"))
    environment["OMP_NUM_THREADS"] = "1"
    child = subprocess.run(
        [sys.executable, __file__, request.param],
        env=environment,
        capture_output=True,
        text=True,
        timeout=1800,
        check=False,
    )
    assert child.returncode == 0, f"{child.stdout[-2000:]}\n{child.stderr}"
    rows = list(csv.DictReader(child.stdout.splitlines()))
    if request.param == "all" and os.environ.get(RECORD):
        with BASELINE.open("w", encoding="utf-8", newline="") as file:
            file.write(f"{version()}\n")
            columns = [*FIELDS, *RECORDED]
            writer = csv.DictWriter(file, columns, extrasaction="ignore", lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
    return rows


def test_shared_memory_is_within_the_limit(table: list[dict[str, str]]) -> None:
    for row in table:
        assert int(row["shared"]) <= SHARED_LIMIT[row["target"]], row


def test_registers_are_hardly_spilled(table: list[dict[str, str]]) -> None:
    for row in table:
        assert int(row["spill"]) <= SPILL_LIMIT, row
        assert not int(row["spill"]) or int(row["registers"]) < 255, row


def test_matmuls_run_on_tensor_cores(table: list[dict[str, str]]) -> None:
    for row in table:
        is_exact = row["dtype"] == "fp32" and row["kernel"] != "forward_tf32"
        if is_exact or row["kernel"] in WITHOUT_MATMULS:
            continue
        assert int(row["tensor_cores"]), row
        # wgmma has no tile of fewer than 64 rows.
        if row["target"] == "sm_90" and int(row["tile"].split("x")[0]) >= 64:
            assert int(row["wgmma"]), row


def test_rows_are_loaded_whole(table: list[dict[str, str]]) -> None:
    for row in table:
        if row["kernel"] in WITHOUT_MATMULS:
            continue
        # On gfx942 so many threads share a short last step that each loads one element.
        if row["target"] != "gfx942":
            assert not int(row["scalar_loads"]), row
        # On gfx942 512 threads share so small a float32 tile that each loads 8 bytes.
        is_shared = row["target"] == "gfx942" and row["dtype"] == "fp32"
        if row["sizes"] != UNALIGNED and not is_shared:
            assert int(row["wide_loads"]), row


def test_usage_matches_the_baseline(table: list[dict[str, str]]) -> None:
    recorded_by, baseline = read_baseline()
    # constraints.txt pins the compiler; other versions may use other registers.
    assert recorded_by == version(), f"record {BASELINE.name} again with {RECORD}=1"
    for row in table:
        before = baseline.get(key_of(row))
        assert before, f"{row} is not in {BASELINE.name}; record it with {RECORD}=1"
        assert int(row["registers"]) <= 1.1 * int(before["registers"]), (row, before)
        assert int(row["spill"]) <= int(before["spill"]), (row, before)
        assert int(row["shared"]) <= int(before["shared"]), (row, before)


def main(selection: str) -> None:
    writer = csv.DictWriter(sys.stdout, [*FIELDS, *MEASURED])
    writer.writeheader()
    for kernel in kernels(selection):
        writer.writerow(compile_kernel(kernel))


if __name__ == "__main__":
    main(sys.argv[1])
