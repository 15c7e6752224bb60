// Passes over rows that would otherwise be several: each reads what it needs once.
//
// Rows are worked on in chunks of a fixed size and sums over rows are added up in the order of
// chunks, so results do not depend on the number of threads.

#include <algorithm>
#include <cmath>

#include "parts.h"

namespace switchhead {
namespace {

constexpr int64_t kChunkRows = 64;

// logits[j] = row[j] + bias[j], where there is one; returns their maximum.
template <typename T>
float add_bias(const T* row, const float* bias, int64_t width, float* logits) {
  vec found = splat(-INFINITY);
  int64_t j = 0;
  for (; j + kLanes <= width; j += kLanes) {
    const vec x = bias ? load(row + j) + load(bias + j) : load(row + j);
    store(x, logits + j);
    found = x > found ? x : found;
  }
  float maximum = largest(found);
  for (; j < width; ++j) {
    logits[j] = to_float(row[j]) + (bias ? bias[j] : 0.f);
    maximum = std::max(maximum, logits[j]);
  }
  return maximum;
}

// row[j] = exps[j] * scale, less 1 at the target; its exact values are added to `sums`.
template <typename T>
void write_gradient(const float* exps, int64_t width, float scale, int64_t target, T* row, float* sums) {
  for_vectors(width, [&](int64_t j, int64_t n) __attribute__((always_inline)) {
    const vec gradient = load_first(exps + j, n) * scale;
    store_first(gradient, n, row + j);
    store_first(load_first(sums + j, n) + gradient, n, sums + j);
  });
  row[target] = from_float<T>(exps[target] * scale - 1.f);
  sums[target] -= 1.f;
}

// Negative log-likelihoods of the targets, summed; with `column_sums`, logits become their gradient.
// Negative if a target does not exist.
template <typename T>
double cross_entropy(T* logits, const float* bias, int64_t n_rows, int64_t width, const int64_t* target,
                     int64_t ignore, float* column_sums, int64_t n_threads) {
  const auto exists = [&](int64_t t) { return t == ignore || (0 <= t && t < width); };
  if (!std::all_of(target, target + n_rows, exists)) return -1.;
  const int64_t n_chunks = divide_up(n_rows, kChunkRows);
  std::vector<double> losses(n_chunks);
  std::vector<float> parts(column_sums ? n_chunks * width : 0);
#pragma omp parallel num_threads(n_threads)
  {
    std::vector<float> exps(width);
#pragma omp for schedule(dynamic)
    for (int64_t chunk = 0; chunk < n_chunks; ++chunk) {
      for (int64_t i = chunk * kChunkRows; i < std::min(n_rows, (chunk + 1) * kChunkRows); ++i) {
        T* row = logits + i * width;
        if (target[i] == ignore) {
          if (column_sums) std::memset(static_cast<void*>(row), 0, width * sizeof(T));
          continue;
        }
        const float maximum = add_bias(row, bias, width, exps.data());
        const float of_target = exps[target[i]];
        const float total = exponentials(exps.data(), width, maximum);
        losses[chunk] += std::log(static_cast<double>(total)) + maximum - of_target;
        if (column_sums)
          write_gradient(exps.data(), width, 1.f / total, target[i], row, parts.data() + chunk * width);
      }
    }
  }
  if (column_sums) add_parts(parts, width, column_sums, n_threads);
  double loss = 0.;
  for (const double part : losses) loss += part;
  return loss;
}

// The number of a draw: SplitMix64's output at this place of its sequence.
inline uint64_t draw(uint64_t seed, uint64_t place) {
  uint64_t z = seed + (place + 1) * 0x9e3779b97f4a7c15u;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

// x = max(x + bias, 0), or 0 where its 16 bits of a draw are below the threshold. Four elements share a
// draw; the bias is one for each column, or null.
template <typename T>
void relu_dropout(T* x, const float* bias, int64_t n_rows, int64_t width, int64_t seed, int64_t threshold,
                  int64_t n_threads) {
  constexpr int64_t kPart = 1 << 12, kPerDraw = 4;
  const int64_t n = n_rows * width;
  const bool is_whole = !bias || width % kLanes == 0;  // no vector lies across two rows
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
      const vec kept = value <= 0.f ? vec{} : value;  // NaN is not hidden
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

// grad = 0 where x is 0; the sums of its columns.
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

// to[i] = from[i] * scale, rows filled up with zeros to `width_to`.
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

// to = the sum of what the parts have for a position of a sequence.
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

// Sums of rows of all positions ([n_sequences, n_positions, width]) and of the last ones, each may be null.
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

// to[b][s][h][p] = from[h][b][p][s].
template <typename T>
void channels_last(const T* from, int64_t n_heads, int64_t n_sequences, int64_t n_channels, int64_t n_positions, T* to,
                   int64_t n_threads) {
  const int64_t n_blocks = divide_up(n_positions, kLanes), width = n_heads * n_channels;
#pragma omp parallel for num_threads(n_threads) schedule(static)
  for (int64_t block = 0; block < n_sequences * n_blocks; ++block) {
    const int64_t b = block / n_blocks, first = block % n_blocks * kLanes;
    const int64_t n_here = std::min(kLanes, n_positions - first);
    alignas(kVectorBytes) float rows[kLanes * kLanes], columns[kLanes * kLanes];
    for (int64_t h = 0; h < n_heads; ++h) {
      const T* map = from + (h * n_sequences + b) * n_channels * n_positions + first;
      T* out = to + (b * n_positions + first) * width + h * n_channels;
      for_vectors(n_channels, [&](int64_t p, int64_t n) {
        for (int64_t r = 0; r < n; ++r)
          store(load_first(map + (p + r) * n_positions, n_here), rows + r * kLanes);
        transpose(rows, n, n_here, kLanes, columns);
        for (int64_t c = 0; c < n_here; ++c) store_first(load(columns + c * kLanes), n, out + c * width + p);
      });
    }
  }
}

// A number of the same order as x, NaN above all and -0 as 0; of equals the lower index is larger.
inline int64_t rank_of(float x, int64_t index) {
  const float value = x + 0.f;
  int32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  const int32_t ordered = value != value ? INT32_MAX : bits ^ ((bits >> 31) & INT32_MAX);
  return static_cast<int64_t>(ordered) << 32 | (UINT32_MAX - index);
}

// The indices of a row's k largest, largest first, ties to the lower index; of at most MOST entries,
// so that they fit registers.
template <int MOST>
void choose_largest(const float* row, int64_t width, int64_t k, int64_t* index) {
  float scores[std::max<int64_t>(MOST, kLanes)];
  for_vectors(width, [&](int64_t e, int64_t n) { store(load_first(row + e, n), scores + e); });
  int64_t ranks[MOST];  // no two are equal
  for (int64_t e = 0; e < MOST; ++e) ranks[e] = e < width ? rank_of(scores[e], e) : INT64_MIN;
  for (int64_t c = 0; c < k; ++c) {
    int64_t best = INT64_MIN;
    for (int64_t e = 0; e < MOST; ++e) best = std::max(best, ranks[e]);
    for (int64_t e = 0; e < MOST; ++e) ranks[e] = ranks[e] == best ? INT64_MIN : ranks[e];
    index[c] = UINT32_MAX - static_cast<uint32_t>(best);
  }
}

constexpr int64_t kMostChoices = 128;

void largest_indices(const float* scores, int64_t n_rows, int64_t width, int64_t k, int64_t* index, int64_t n_threads) {
#pragma omp parallel for num_threads(n_threads) schedule(static)
  for (int64_t i = 0; i < n_rows; ++i) {
    const float* row = scores + i * width;
    int64_t* chosen = index + i * k;
    if (width <= 8)
      choose_largest<8>(row, width, k, chosen);
    else if (width <= 32)
      choose_largest<32>(row, width, k, chosen);
    else
      choose_largest<kMostChoices>(row, width, k, chosen);
  }
}

}  // namespace
}  // namespace switchhead

using switchhead::bf16;

#define FOR_TYPE(SUFFIX, T)                                                                                     \
  double cross_entropy_##SUFFIX(T* logits, const float* bias, int64_t n_rows, int64_t width,                    \
                                const int64_t* target, int64_t ignore, float* column_sums, int64_t n_threads) { \
    return switchhead::cross_entropy(logits, bias, n_rows, width, target, ignore, column_sums, n_threads);      \
  }                                                                                                             \
  void relu_dropout_##SUFFIX(T* x, const float* bias, int64_t n_rows, int64_t width, int64_t seed,              \
                             int64_t threshold, int64_t n_threads) {                                            \
    switchhead::relu_dropout(x, bias, n_rows, width, seed, threshold, n_threads);                               \
  }                                                                                                             \
  void relu_gradient_##SUFFIX(const T* x, T* grad, int64_t n_rows, int64_t width, float* column_sums,           \
                              int64_t n_threads) {                                                              \
    switchhead::relu_gradient(x, grad, n_rows, width, column_sums, n_threads);                                  \
  }                                                                                                             \
  void convert_rows_##SUFFIX(const float* from, int64_t n_rows, int64_t width, int64_t width_to, float scale,   \
                             T* to, int64_t n_threads) {                                                        \
    switchhead::convert_rows(from, n_rows, width, width_to, scale, to, n_threads);                              \
  }                                                                                                             \
  void add_by_position_##SUFFIX(const float* exact, const float* exact_last, const T* rounded,                  \
                                const T* rounded_last, int64_t n_sequences, int64_t n_positions, int64_t width, \
                                int64_t n_last, float* total, int64_t n_threads) {                              \
    switchhead::add_by_position(exact, exact_last, rounded, rounded_last, n_sequences, n_positions, width,      \
                                n_last, total, n_threads);                                                      \
  }                                                                                                             \
  void channels_last_##SUFFIX(const T* from, int64_t n_heads, int64_t n_sequences, int64_t n_channels,          \
                              int64_t n_positions, T* to, int64_t n_threads) {                                  \
    switchhead::channels_last(from, n_heads, n_sequences, n_channels, n_positions, to, n_threads);              \
  }

extern "C" {
FOR_TYPE(float32, float)
FOR_TYPE(bfloat16, bf16)
void largest_indices(const float* scores, int64_t n_rows, int64_t width, int64_t k, int64_t* index, int64_t n_threads) {
  switchhead::largest_indices(scores, n_rows, width, k, index, n_threads);
}
}
