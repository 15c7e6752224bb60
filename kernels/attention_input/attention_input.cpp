// One-pass sum of gradients by position.

#include "vectors.h"

namespace switchhead {
namespace {

// to = the sum of all parts at one position of one sequence.
template <typename T>
void add_at(const float* exact, const float* exact_last, const T* rounded, const T* rounded_last, int64_t width,
            float* to) {
  for_vectors(width, [&](int64_t j, int64_t n) __attribute__((always_inline)) {
    vec total = {};
    if (exact) total += load_first(exact + j, n);
    if (exact_last) total += load_first(exact_last + j, n);
    if (rounded) total += load_first(rounded + j, n);
    if (rounded_last) total += load_first(rounded_last + j, n);
    store_first(total, n, to + j);
  });
}

// Sums of rows of all positions ([n_sequences, n_positions, width]) and of the last; each may be null.
template <typename T>
void add_by_position(const float* exact, const float* exact_last, const T* rounded, const T* rounded_last,
                     int64_t n_sequences, int64_t n_positions, int64_t width, int64_t n_last, float* total,
                     int64_t n_threads) {
#pragma omp parallel for num_threads(n_threads) schedule(static)
  for (int64_t row = 0; row < n_sequences * n_positions; ++row) {
    const int64_t place = row % n_positions - (n_positions - n_last);
    const int64_t last_row = row / n_positions * n_last + place;
    const auto at = [&](const auto* rows, int64_t i) { return rows && i >= 0 ? rows + i * width : nullptr; };
    add_at(at(exact, row), at(exact_last, place < 0 ? -1 : last_row), at(rounded, row),
           at(rounded_last, place < 0 ? -1 : last_row), width, total + row * width);
  }
}

}  // namespace
}  // namespace switchhead

#define FOR_TYPE(SUFFIX, T)                                                                                     \
  void add_by_position_##SUFFIX(const float* exact, const float* exact_last, const T* rounded,                  \
                                const T* rounded_last, int64_t n_sequences, int64_t n_positions, int64_t width, \
                                int64_t n_last, float* total, int64_t n_threads) {                              \
    switchhead::add_by_position(exact, exact_last, rounded, rounded_last, n_sequences, n_positions, width,      \
                                n_last, total, n_threads);                                                      \
  }

extern "C" {
FOR_TYPE(float32, float)
FOR_TYPE(bfloat16, switchhead::bf16)
}
