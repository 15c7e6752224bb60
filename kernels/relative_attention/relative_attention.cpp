// Softmax over scores by content and by distance, and its gradient, in one pass each; transposes
// gradients of keys and values for the projections.
//
// Query i of T is at position S - T + i, so its key j is at distance column T - 1 - i + j of R.

#include <algorithm>
#include <cmath>
#include <vector>

#include "vectors.h"

namespace switchhead {
namespace {

constexpr float kNothing = -INFINITY;

// Mask added to the scores of a row, 0 or -inf; sequences and queries may share rows.
template <typename T>
struct Mask {
  const T* values;
  int64_t n_sequences, n_rows, sequence_stride;

  const T* row(int64_t x, int64_t i) const {
    if (!values) return nullptr;
    return values + x % n_sequences * sequence_stride + (n_rows == 1 ? 0 : i) * width;
  }
  int64_t width;
};

// Masked scores may be anything, even NaN.
inline vec masked(vec score, vec mask) { return mask == kNothing ? splat(kNothing) : score + mask; }

// scores[j] = content[j] + by_distance[j] + mask[j]; returns their maximum.
template <typename T>
float add_scores(const T* content, const T* by_distance, const T* mask, int64_t n, float* scores) {
  vec most = splat(kNothing);
  int64_t j = 0;
  for (; j + kLanes <= n; j += kLanes) {
    vec score = load(content + j) + load(by_distance + j);
    if (mask) score = masked(score, load(mask + j));
    store(score, scores + j);
    most = score > most ? score : most;
  }
  float maximum = largest(most);
  for (; j < n; ++j) {
    const float hidden = mask ? to_float(mask[j]) : 0.f;
    scores[j] = hidden == kNothing ? kNothing : to_float(content[j]) + to_float(by_distance[j]) + hidden;
    maximum = std::max(maximum, scores[j]);
  }
  return maximum;
}

// weight: in, scores by content [X, T, S]; out, attention weights.
template <typename T>
void relative_softmax(T* weight, const T* by_distance, const Mask<T>& mask, int64_t n_maps, int64_t n_queries,
                      int64_t n_keys, int64_t width, int64_t n_threads) {
#pragma omp parallel num_threads(n_threads)
  {
    std::vector<float> scores(n_keys);
#pragma omp for schedule(static)
    for (int64_t row = 0; row < n_maps * n_queries; ++row) {
      const int64_t x = row / n_queries, i = row % n_queries;
      const T* distances = by_distance + row * width + n_queries - 1 - i;
      T* keys = weight + row * n_keys;
      const float maximum = add_scores(keys, distances, mask.row(x, i), n_keys, scores.data());
      softmax_row(scores.data(), n_keys, maximum, keys);
    }
  }
}

// grad: in, of the weights; out, of the scores; also written by distance: [X, T, R], zero elsewhere.
template <typename T>
void relative_softmax_gradient(T* grad, const T* weight, T* by_distance, int64_t n_maps, int64_t n_queries,
                               int64_t n_keys, int64_t width, int64_t n_threads) {
#pragma omp parallel for num_threads(n_threads) schedule(static)
  for (int64_t row = 0; row < n_maps * n_queries; ++row) {
    const T* weights = weight + row * n_keys;
    T* keys = grad + row * n_keys;
    const float mean = dot(keys, weights, n_keys);
    for_vectors(n_keys, [&](int64_t j, int64_t n) __attribute__((always_inline)) {
      store_first(load_first(weights + j, n) * (load_first(keys + j, n) - mean), n, keys + j);
    });
    const int64_t first = n_queries - 1 - row % n_queries, n = std::min(n_keys, width - first);
    T* distances = by_distance + row * width;
    std::memset(static_cast<void*>(distances), 0, first * sizeof(T));
    std::memcpy(static_cast<void*>(distances + first), keys, n * sizeof(T));
    std::memset(static_cast<void*>(distances + first + n), 0, (width - first - n) * sizeof(T));
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

}  // namespace
}  // namespace switchhead

#define FOR_TYPE(SUFFIX, T)                                                                                        \
  void relative_softmax_##SUFFIX(T* weight, const T* by_distance, const T* mask, int64_t n_sequences,              \
                                 int64_t mask_rows, int64_t mask_stride, int64_t n_maps, int64_t n_queries,        \
                                 int64_t n_keys, int64_t width, int64_t n_threads) {                               \
    const switchhead::Mask<T> given{mask, n_sequences, mask_rows, mask_stride, n_keys};                            \
    switchhead::relative_softmax(weight, by_distance, given, n_maps, n_queries, n_keys, width, n_threads);         \
  }                                                                                                                \
  void relative_softmax_gradient_##SUFFIX(T* grad, const T* weight, T* by_distance, int64_t n_maps,                \
                                          int64_t n_queries, int64_t n_keys, int64_t width, int64_t n_threads) {   \
    switchhead::relative_softmax_gradient(grad, weight, by_distance, n_maps, n_queries, n_keys, width, n_threads); \
  }                                                                                                                \
  void channels_last_##SUFFIX(const T* from, int64_t n_heads, int64_t n_sequences, int64_t n_channels,             \
                              int64_t n_positions, T* to, int64_t n_threads) {                                     \
    switchhead::channels_last(from, n_heads, n_sequences, n_channels, n_positions, to, n_threads);                 \
  }

extern "C" {
FOR_TYPE(float32, float)
FOR_TYPE(bfloat16, switchhead::bf16)
}
