// Matmuls of a few rows with a packed operand, in registers.
//
// The right operand is cut into panels of a few vectors of columns; within one, `pair` rows are
// interleaved for bf16 dot products: panel[row / pair][column][row % pair].
#pragma once

#include <algorithm>
#include <memory>
#include <type_traits>

#include "vectors.h"

namespace switchhead {

// The type of operands: bf16 where the CPU multiplies it, else float.
#if defined(__AVX512BF16__)
constexpr bool kHasBf16Products = true;
#else
constexpr bool kHasBf16Products = false;
#endif

template <typename T>
constexpr int64_t kPair = sizeof(T) == 2 ? 2 : 1;

// Accumulators, one vector of each operand and temporaries fit the registers.
constexpr int64_t kMostVectors = kVectorBytes == 64 ? 5 : 2;
constexpr int64_t kMostRows = 8;
constexpr int64_t rows_at_once(int64_t n_vectors) {
  if (kVectorBytes < 64) return n_vectors == 1 ? 8 : 6;
  return n_vectors <= 3 ? 8 : n_vectors == 4 ? 6 : 5;
}

// Uninitialised memory.
template <typename T>
std::unique_ptr<T[]> scratch(int64_t n) {
  return std::unique_ptr<T[]>(new T[static_cast<size_t>(n)]);
}

// Columns cut into panels of nearly equal numbers of vectors.
struct Panels {
  int64_t n_vectors, n;

  explicit Panels(int64_t width, int64_t most = kMostVectors)
      : n_vectors(divide_up(width, kLanes)), n(divide_up(n_vectors, most)) {}
  int64_t width() const { return n_vectors * kLanes; }
  int64_t vectors(int64_t panel) const { return n_vectors / n + (panel < n_vectors % n); }
  int64_t first_column(int64_t panel) const {
    return kLanes * (panel * (n_vectors / n) + std::min(panel, n_vectors % n));
  }
};

inline vec splat_step(const float* x) { return splat(*x); }
inline vec multiply_add(vec left, const float* right, vec sum) { return left * load(right) + sum; }
#if defined(__AVX512BF16__)
inline vec splat_step(const bf16* x) {
  int32_t pair;
  std::memcpy(&pair, x, sizeof pair);
  return reinterpret_cast<vec>(_mm512_set1_epi32(pair));
}
inline vec multiply_add(vec left, const bf16* right, vec sum) {
  const auto packed = _mm512_loadu_si512(right);
  return reinterpret_cast<vec>(_mm512_dpbf16_ps(reinterpret_cast<__m512>(sum), reinterpret_cast<__m512bh>(left),
                                                reinterpret_cast<__m512bh>(packed)));
}
#endif

// `take(r, sums)` receives, for R rows of V vectors, the sums over steps of rows[r][step * stride] times
// panel[step]; trailing rows may be padding. A step is `kPair` inner positions, the stride is in
// entries.
template <int R, int V, typename T, typename Take>
__attribute__((noinline)) void multiply_rows(const T* const* rows, int64_t n_rows, int64_t stride, const T* panel,
                                             int64_t n_steps, Take take) {
  constexpr int64_t kStep = kLanes * kPair<T>;
  vec sums[R][V] = {};
  const T* row[R];
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) row[r] = rows[std::min<int64_t>(r, n_rows - 1)];
  int64_t at = 0;
  for (int64_t step = 0; step < n_steps; ++step, at += stride, panel += V * kStep) {
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
      const vec left = splat_step(row[r] + at);
#pragma GCC unroll 8
      for (int v = 0; v < V; ++v) sums[r][v] = multiply_add(left, panel + v * kStep, sums[r][v]);
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
    if (r < n_rows) take(r, sums[r]);
  }
}

// Multiply rows [0, n) with a panel of `n_vectors`; `take(row, values)` receives each row's products,
// an array of vectors.
template <typename T, int V = 1, typename Take>
void multiply_panel(const T* const* rows, int64_t n, int64_t stride, const T* panel, int64_t n_vectors,
                    int64_t n_steps, const Take& take) {
  if constexpr (V < kMostVectors) {
    if (n_vectors > V) return multiply_panel<T, V + 1>(rows, n, stride, panel, n_vectors, n_steps, take);
  }
  // The last rows use a block of half the height if they fit it.
  constexpr int R = rows_at_once(V), HALF = (R + 1) / 2;
  int64_t first = 0;
  const auto take_at = [&](int64_t r, const vec (&sums)[V]) __attribute__((always_inline)) { take(first + r, sums); };
  for (; n - first > HALF; first += R)
    multiply_rows<R, V>(rows + first, std::min<int64_t>(R, n - first), stride, panel, n_steps, take_at);
  if (first < n) multiply_rows<HALF, V>(rows + first, n - first, stride, panel, n_steps, take_at);
}

// Entries of a row as bf16, in the upper half of each lane; rounded if not bf16 already.
template <bool SCALED, typename From>
inline bits_vec upper_halves(const From* from, int64_t n, float scale) {
  const vec values = load_first(from, n);
  if constexpr (SCALED) return rounded_bits(splat(scale) * values);
  return std::is_same_v<From, bf16> ? reinterpret_cast<bits_vec>(values) : rounded_bits(values);
}

// to[v] += values[v].
template <size_t V>
__attribute__((always_inline)) inline void add_values(const vec (&values)[V], float* to) {
  for (size_t v = 0; v < V; ++v) store(load(to + v * kLanes) + values[v], to + v * kLanes);
}

// Lane-wise sums of products with the first n entries of a row; n ends within the last vector.
template <typename T, size_t V>
__attribute__((always_inline)) inline vec dot(const vec (&values)[V], const T* row, int64_t n) {
  constexpr int64_t kWhole = V * kLanes;
  vec total = {};
  if (n >= kWhole) {
    for (size_t v = 0; v < V; ++v) total += values[v] * load(row + v * kLanes);
  } else {
    for (size_t v = 0; v < V; ++v) total += values[v] * load_first(row + v * kLanes, n - v * kLanes);
  }
  return total;
}

// Interleave two rows of an operand, optionally scaled; a missing second row counts as zero.
template <bool SCALED, typename From>
inline void put_pair(const From* first, const From* second, float scale, float second_scale, int64_t width, bf16* to) {
  auto* pairs = reinterpret_cast<float*>(to);
  for_vectors(width, [&](int64_t j, int64_t n) __attribute__((always_inline)) {
    bits_vec bits = upper_halves<SCALED>(first + j, n, scale) >> 16;
    if (second) bits |= upper_halves<SCALED>(second + j, n, second_scale);
    store_first(reinterpret_cast<vec>(bits), n, pairs + j);
  });
}
// Float rows are not interleaved.
template <bool SCALED, typename From>
inline void put_pair(const From* first, const From*, float scale, float, int64_t width, float* to) {
  for_vectors(width, [&](int64_t j, int64_t n) __attribute__((always_inline)) {
    const vec values = load_first(first + j, n);
    store_first(SCALED ? splat(scale) * values : values, n, to + j);
  });
}
template <typename From, typename T>
inline void put_pair(const From* first, const From* second, int64_t width, T* to) {
  put_pair<false>(first, second, 1.f, 1.f, width, to);
}

// Pack n columns stored as rows of `width_from` entries in a panel of `width` columns.
template <typename T, typename W>
void pack_transposed(const W* w, int64_t n, int64_t width_from, int64_t width, T* panel) {
  constexpr int64_t pair = kPair<T>, kEntries = kLanes * pair;  // a lane holds a step
  alignas(kVectorBytes) T rows[kLanes][kEntries];
  for (int64_t column = 0; column < n; column += kLanes) {
    const int64_t n_columns = std::min(kLanes, n - column);
    for (int64_t i = 0; i < width_from; i += kEntries) {
      const int64_t n_entries = std::min(kEntries, width_from - i), n_steps = divide_up(n_entries, pair);
      for (int64_t c = 0; c < n_columns; ++c) {
        store_row(w + (column + c) * width_from + i, n_entries, rows[c]);
        if (n_entries % pair) rows[c][n_entries] = from_float<T>(0.f);
      }
      auto* to = reinterpret_cast<float*>(panel + i * width + column * pair);
      transpose(reinterpret_cast<const float*>(rows), n_columns, n_steps, width, to);
    }
  }
}

// Pack w ([rows, columns], or its transpose) as a right operand, zero-padded to `inner` rows.
template <typename T, typename W>
void pack_right(const W* w, int64_t rows, int64_t columns, bool transpose, const Panels& panels, int64_t inner,
                T* packed) {
  constexpr int64_t pair = kPair<T>;
  const int64_t n_rows = transpose ? columns : rows, n_columns = transpose ? rows : columns;
  std::memset(static_cast<void*>(packed), 0, inner * panels.width() * sizeof(T));
  for (int64_t p = 0; p < panels.n; ++p) {
    const int64_t first = panels.first_column(p), width = panels.vectors(p) * kLanes;
    const int64_t n = std::min(width, n_columns - first);
    T* panel = packed + inner * first;
    if (transpose) {
      pack_transposed(w + first * columns, n, columns, width, panel);
      continue;
    }
    for (int64_t i = 0; i < n_rows; i += pair) {
      const W* from = w + i * columns + first;
      put_pair(from, i + 1 < n_rows ? from + columns : nullptr, n, panel + i * width);
    }
  }
}

}  // namespace switchhead
