// Bias, ReLU and dropout, their gradient, and conversion of weights, in one pass each.
//
// Rows are processed in chunks of fixed size, and sums over rows are added in the order of chunks, so
// results do not depend on the number of threads.

#include <algorithm>

#include "parts.h"

namespace switchhead {
namespace {

constexpr int64_t kChunkRows = 64;

// SplitMix64's output number `place`.
inline uint64_t draw(uint64_t seed, uint64_t place) {
  uint64_t z = seed + (place + 1) * 0x9e3779b97f4a7c15u;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

// x = max(x + bias, 0), or 0 where its 16 bits of a draw are below the threshold. Four elements share a
// draw; the bias has one entry per column, or is null.
template <typename T>
void relu_dropout(T* x, const float* bias, int64_t n_rows, int64_t width, int64_t seed, int64_t threshold,
                  int64_t n_threads) {
  constexpr int64_t kPart = 1 << 12, kPerDraw = 4;
  const int64_t n = n_rows * width;
  const bool is_whole = !bias || width % kLanes == 0;  // no vector spans two rows
#pragma omp parallel for num_threads(n_threads) schedule(static)
  for (int64_t first = 0; first < n; first += kPart) {
    const int64_t n_part = std::min(kPart, n - first);
    uint64_t draws[kPart / kPerDraw];
    for (int64_t d = 0; d * kPerDraw < n_part; ++d) draws[d] = threshold ? draw(seed, first / kPerDraw + d) : 0;
    const auto* level = reinterpret_cast<const unaligned_half_vec*>(draws);
    T* part = x + first;
    int64_t i = 0, column = first % width;
    for (; is_whole && i + kLanes <= n_part; i += kLanes, ++level) {
      const vec value = bias ? load(part + i) + load(bias + column) : load(part + i);
      const vec kept = value <= 0.f ? vec{} : value;  // keeps NaN
      store(__builtin_convertvector(*level, int_vec) < static_cast<int32_t>(threshold) ? vec{} : kept, part + i);
      column += kLanes;
      if (column >= width) column -= width;
    }
    for (; i < n_part; ++i) {
      const auto bits = static_cast<int64_t>(draws[i / kPerDraw] >> (16 * (i % kPerDraw)) & 0xffff);
      const float value = to_float(part[i]) + (bias ? bias[(first + i) % width] : 0.f);
      part[i] = value <= 0.f || bits < threshold ? T{} : from_float<T>(value);
    }
  }
}

// grad = 0 where x is 0; adds its column sums to `column_sums`.
template <typename T>
void relu_gradient(const T* x, T* grad, int64_t n_rows, int64_t width, float* column_sums, int64_t n_threads) {
  const int64_t n_chunks = divide_up(n_rows, kChunkRows);
  std::vector<float> parts(n_chunks * width);
#pragma omp parallel for num_threads(n_threads) schedule(dynamic)
  for (int64_t chunk = 0; chunk < n_chunks; ++chunk) {
    float* sums = parts.data() + chunk * width;
    for (int64_t i = chunk * kChunkRows; i < std::min(n_rows, (chunk + 1) * kChunkRows); ++i) {
      const T* from = x + i * width;
      T* to = grad + i * width;
      for_vectors(width, [&](int64_t j, int64_t n) __attribute__((always_inline)) {
        const vec value = load_first(from + j, n), gradient = value == 0.f ? vec{} : load_first(to + j, n);
        store_first(gradient, n, to + j);
        store_first(load_first(sums + j, n) + gradient, n, sums + j);
      });
    }
  }
  std::fill(column_sums, column_sums + width, 0.f);
  add_parts(parts, width, column_sums, n_threads);
}

// to[i] = from[i] * scale, rows zero-padded to `width_to`.
template <typename T>
void convert_rows(const float* from, int64_t n_rows, int64_t width, int64_t width_to, float scale, T* to,
                  int64_t n_threads) {
#pragma omp parallel for num_threads(n_threads) schedule(static)
  for (int64_t i = 0; i < n_rows; ++i) {
    const float* row = from + i * width;
    T* out = to + i * width_to;
    for_vectors(width, [&](int64_t j, int64_t n) __attribute__((always_inline)) {
      store_first(load_first(row + j, n) * scale, n, out + j);
    });
    std::fill(out + width, out + width_to, T{});
  }
}

}  // namespace
}  // namespace switchhead

#define FOR_TYPE(SUFFIX, T)                                                                                   \
  void relu_dropout_##SUFFIX(T* x, const float* bias, int64_t n_rows, int64_t width, int64_t seed,            \
                             int64_t threshold, int64_t n_threads) {                                          \
    switchhead::relu_dropout(x, bias, n_rows, width, seed, threshold, n_threads);                             \
  }                                                                                                           \
  void relu_gradient_##SUFFIX(const T* x, T* grad, int64_t n_rows, int64_t width, float* column_sums,         \
                              int64_t n_threads) {                                                            \
    switchhead::relu_gradient(x, grad, n_rows, width, column_sums, n_threads);                                \
  }                                                                                                           \
  void convert_rows_##SUFFIX(const float* from, int64_t n_rows, int64_t width, int64_t width_to, float scale, \
                             T* to, int64_t n_threads) {                                                      \
    switchhead::convert_rows(from, n_rows, width, width_to, scale, to, n_threads);                            \
  }

extern "C" {
FOR_TYPE(float32, float)
FOR_TYPE(bfloat16, switchhead::bf16)
}
