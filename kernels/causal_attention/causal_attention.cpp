// Softmax of scores over the keys up to each query, and its gradient, in one pass each.
//
// Query i of T sees the first S - T + i + 1 of S keys.

#include <algorithm>
#include <cmath>
#include <vector>

#include "vectors.h"

namespace switchhead {
namespace {

// to[j] = from[j] * scale; returns their maximum.
template <typename T>
float scale_scores(const T* from, int64_t n, float scale, float* to) {
  vec most = splat(-INFINITY);
  int64_t j = 0;
  for (; j + kLanes <= n; j += kLanes) {
    const vec score = load(from + j) * scale;
    store(score, to + j);
    most = score > most ? score : most;
  }
  float maximum = largest(most);
  for (; j < n; ++j) maximum = std::max(maximum, to[j] = to_float(from[j]) * scale);
  return maximum;
}

// weight: in, scores [X, T, S]; out, attention weights.
template <typename T>
void causal_softmax(T* weight, int64_t n_maps, int64_t n_queries, int64_t n_keys, float scale, int64_t n_threads) {
#pragma omp parallel num_threads(n_threads)
  {
    std::vector<float> scores(n_keys);
#pragma omp for schedule(static)
    for (int64_t row = 0; row < n_maps * n_queries; ++row) {
      const int64_t n_seen = n_keys - n_queries + row % n_queries + 1;
      T* keys = weight + row * n_keys;
      softmax_row(scores.data(), n_seen, scale_scores(keys, n_seen, scale, scores.data()), keys);
      std::fill(keys + n_seen, keys + n_keys, T{});
    }
  }
}

// grad: in, of the weights; out, of the scores.
template <typename T>
void causal_softmax_gradient(T* grad, const T* weight, int64_t n_maps, int64_t n_queries, int64_t n_keys, float scale,
                             int64_t n_threads) {
#pragma omp parallel for num_threads(n_threads) schedule(static)
  for (int64_t row = 0; row < n_maps * n_queries; ++row) {
    const int64_t n_seen = n_keys - n_queries + row % n_queries + 1;
    const T* weights = weight + row * n_keys;
    T* keys = grad + row * n_keys;
    const float mean = dot(keys, weights, n_seen);
    for_vectors(n_seen, [&](int64_t j, int64_t n) __attribute__((always_inline)) {
      store_first(load_first(weights + j, n) * (load_first(keys + j, n) - mean) * scale, n, keys + j);
    });
    std::fill(keys + n_seen, keys + n_keys, T{});
  }
}

}  // namespace
}  // namespace switchhead

#define FOR_TYPE(SUFFIX, T)                                                                                          \
  void causal_softmax_##SUFFIX(T* weight, int64_t n_maps, int64_t n_queries, int64_t n_keys, float scale,            \
                               int64_t n_threads) {                                                                  \
    switchhead::causal_softmax(weight, n_maps, n_queries, n_keys, scale, n_threads);                                 \
  }                                                                                                                  \
  void causal_softmax_gradient_##SUFFIX(T* grad, const T* weight, int64_t n_maps, int64_t n_queries, int64_t n_keys, \
                                        float scale, int64_t n_threads) {                                            \
    switchhead::causal_softmax_gradient(grad, weight, n_maps, n_queries, n_keys, scale, n_threads);                  \
  }

extern "C" {
FOR_TYPE(float32, float)
FOR_TYPE(bfloat16, switchhead::bf16)
}
