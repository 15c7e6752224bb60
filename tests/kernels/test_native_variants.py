"""The CPU kernels as on other CPUs: narrower vectors, and a stand-in for matrix units."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from switchhead_kernels.native import build

pytestmark = pytest.mark.thorough

PROGRAM = """
import torch
from switchhead_kernels.expert_matmul import cpu, expert_matmul, make_routing
from switchhead_kernels.narrow_linear import narrow_linear
from switchhead_kernels.native import library
from switchhead_kernels.attention_input.fused import add_by_position
from switchhead_kernels.causal_attention.fused import causal_softmax_
from switchhead_kernels.relative_attention.fused import channels_last
from switchhead_kernels.rotation import reference, rotate
from switchhead_kernels.top_k import largest_indices

def results(backend, dtype, rows_in, rows_out, sizes):
    N, H, E, K, X, Y = sizes
    generator = torch.Generator().manual_seed(0)
    gate, index = torch.rand(N, H, E, generator=generator).topk(K, -1)
    n = {"token": (N,), "head": (N, H), "slot": (N, H, K)}
    draw = lambda *shape: torch.randn(*shape, generator=generator).bfloat16()
    x, weight, grad = draw(*n[rows_in], X), draw(H, E, X, Y), draw(*n[rows_out], Y)
    exact = backend == "reference"
    kind, fine = (torch.float64, torch.float64) if exact else (dtype, torch.float32)
    inputs = [x.to(kind), weight.to(fine), gate.to(fine)]
    inputs = [value.requires_grad_() for value in inputs]
    out = expert_matmul(inputs[0], inputs[1], make_routing(index, E), inputs[2],
                        rows_in=rows_in, rows_out=rows_out, backend=backend)
    return [out.detach(), *torch.autograd.grad(out, inputs, grad.to(out.dtype))]

print(cpu.bf16_matmuls())
for dtype in (torch.float32, torch.bfloat16):
    worst = 0.0
    for rows in (("token", "head"), ("head", "token"), ("token", "slot"), ("slot", "token")):
        for sizes in ((150, 2, 4, 2, 41, 76), (700, 2, 3, 3, 76, 100), (5, 1, 2, 1, 3, 2)):
            ours = results("cpu", dtype, *rows, sizes)
            exact = results("reference", dtype, *rows, sizes)
            errors = [((a.double() - b).norm() / b.norm()).item() for a, b in zip(ours, exact)]
            worst = max(worst, *errors)
    print(worst)

x, weight, grad = (torch.randn(n, m).double() for n, m in ((200, 37), (5, 37), (200, 5)))
inputs = [x.float().requires_grad_(), weight.float().requires_grad_()]
assert library.is_usable(*inputs)
logits = narrow_linear(*inputs)
ours = [logits.detach(), *torch.autograd.grad(logits, inputs, grad.float())]
whole, last = torch.randn(2, 7, 37), torch.randn(2, 3, 37).bfloat16()
ours.append(add_by_position((whole, None), (None, last), whole.shape))
expected = whole.double()
expected[:, 4:] += last
scores, hidden = torch.randn(2, 9, 37), torch.ones(9, 37, dtype=torch.bool).triu(29)
weights = (scores.double() / 3).masked_fill(hidden, -torch.inf).softmax(-1)
ours.append(causal_softmax_(scores.clone(), 1 / 3))
channels, table = torch.randn(2, 3, 9, 41), torch.randn(2, 9, 19)
ours.append(rotate(channels, table))
rotated = reference.rotate(channels.double(), table.double())
pairs = zip(ours, (x @ weight.T, grad @ weight, grad.T @ x, expected, weights, rotated))
print(max(((a - b).norm() / b.norm()).item() for a, b in pairs))
by_channel = torch.randn(2, 3, 21, 37)
assert torch.equal(channels_last(by_channel), by_channel.transpose(2, 3))
assert torch.equal(largest_indices(logits, 2), logits.topk(2).indices)
"""
# The definition of oneDNN's matmuls with matrix units, for CPUs without them.
STAND_IN = """
#include <cstdint>
#include <cstring>
namespace c10 { struct BFloat16; enum class ScalarType : int8_t; }
namespace at::native::cpublas {
static float value(const uint16_t* x) {
  const uint32_t bits = static_cast<uint32_t>(*x) << 16;
  float out;
  std::memcpy(&out, &bits, sizeof out);
  return out;
}
bool could_pack(c10::ScalarType) { return true; }
void brgemm_release(bool) {}
void brgemm(int64_t M, int64_t N, int64_t K, int64_t ld_a, int64_t ld_b, int64_t ld_c, bool add,
            const c10::BFloat16* A, const c10::BFloat16* B, float* C, bool) {
  const auto* a = reinterpret_cast<const uint16_t*>(A);
  const auto* b = reinterpret_cast<const uint16_t*>(B);
  for (int64_t i = 0; i < M; ++i)
    for (int64_t j = 0; j < N; ++j) {
      float sum = add ? C[i * ld_c + j] : 0.f;
      for (int64_t k = 0; k < K; ++k)
        sum += value(a + i * ld_a + k) * value(b + k / 2 * ld_b * 2 + j * 2 + k % 2);
      C[i * ld_c + j] = sum;
    }
}
}
"""

# Capabilities that x86 variants need; other CPUs have one variant.
NEEDED = {"x86-64": "avx", "x86-64-v3": "avx2", "x86-64-v4": "avx512_vl"}
CAPABILITIES = torch.cpu.get_capabilities()
MARCHES = [march for march, needed in NEEDED.items() if CAPABILITIES.get(needed)]


def run(cache: Path, **environment: str) -> tuple[str, float, float, float]:
    """Return how bf16 is multiplied, and the largest errors in float32, in bf16 and of passes."""
    variables = {**os.environ, build.CACHE_VARIABLE: str(cache), **environment}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, env=variables, check=False
    )
    assert done.returncode == 0, done.stderr
    bf16_matmuls, *errors = done.stdout.split()
    return bf16_matmuls, *map(float, errors)


@pytest.mark.parametrize("march", [*MARCHES, "native"])
def test_vectors_and_matrix_units_of_every_cpu_agree(tmp_path: Path, march: str) -> None:
    # This CPU's own variant is built already.
    cache = build.cache_dir() if march == "native" else tmp_path
    bf16_matmuls, float32, bf16, passes = run(cache, **{build.MARCH_VARIABLE: march})
    if march != "native" and not CAPABILITIES.get("amx_bf16"):
        assert bf16_matmuls == "float32"
    assert float32 < 1e-6
    assert bf16 < 5e-3
    assert passes < 1e-6
    if march not in (*MARCHES[:1], "native"):
        return
    units = {"LD_PRELOAD": str(built_stand_in(tmp_path)), build.MARCH_VARIABLE: march}
    bf16_matmuls, float32, bf16, _ = run(cache, **units)
    assert bf16_matmuls == "amx"
    assert float32 < 1e-6
    assert bf16 < 5e-3


def built_stand_in(folder: Path) -> Path:
    source, library = folder / "units.cpp", folder / "units.so"
    source.write_text(STAND_IN)
    compiler = shutil.which(build.find_compiler() or "")
    subprocess.run(
        [str(compiler), "-O2", "-shared", "-fPIC", "-std=c++17", str(source), "-o", str(library)],
        check=True,
    )
    return library
