// Matmuls with matrix units (AMX): oneDNN's batch-reduce kernels, exported by PyTorch.
#pragma once

#include "vectors.h"

namespace c10 {
struct BFloat16;
enum class ScalarType : int8_t;
}

namespace at::native::cpublas {
void brgemm(int64_t M, int64_t N, int64_t K, int64_t ld_a, int64_t ld_b, int64_t ld_c, bool add_C,
            const c10::BFloat16* A, const c10::BFloat16* B, float* C, bool is_vnni);
void brgemm_release(bool is_vnni);
bool could_pack(c10::ScalarType dtype);
}  // namespace at::native::cpublas

namespace switchhead {

// Operands are zero-padded to multiples of these, the tile registers' sizes.
constexpr int64_t kUnitInner = 32, kUnitOuter = 16;

inline bool has_matrix_units() {
  constexpr auto kBFloat16 = static_cast<c10::ScalarType>(15);
  static const bool has = at::native::cpublas::could_pack(kBFloat16);
  return has;
}

// c (+)= a b, with the rows of b in pairs: b[k / 2][column][k % 2].
inline void multiply_by_units(int64_t m, int64_t n, int64_t k, int64_t ld_a, bool add, const bf16* a,
                              const bf16* b, float* c) {
  at::native::cpublas::brgemm(m, n, k, ld_a, n, n, add, reinterpret_cast<const c10::BFloat16*>(a),
                              reinterpret_cast<const c10::BFloat16*>(b), c, true);
}

inline void release_units() { at::native::cpublas::brgemm_release(true); }

}  // namespace switchhead
