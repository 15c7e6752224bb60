// Bias, softmax, loss and gradient of rows of logits, reading each row once.
//
// Rows are processed in chunks of fixed size, and sums over rows are added in the order of chunks, so
// results do not depend on the number of threads.

#include <algorithm>
#include <cmath>

#include "parts.h"

namespace switchhead {
namespace {

constexpr int64_t kChunkRows = 64;

// logits[j] = row[j] + bias[j] (bias may be null); returns their maximum.
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

// row[j] = exps[j] * scale, minus 1 at the target; adds the unrounded values to `sums`.
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

// Summed negative log-likelihood of the targets; with `column_sums`, logits become their gradient.
// Returns a negative number if a target is invalid.
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

}  // namespace
}  // namespace switchhead

#define FOR_TYPE(SUFFIX, T)                                                                                     \
  double cross_entropy_##SUFFIX(T* logits, const float* bias, int64_t n_rows, int64_t width,                    \
                                const int64_t* target, int64_t ignore, float* column_sums, int64_t n_threads) { \
    return switchhead::cross_entropy(logits, bias, n_rows, width, target, ignore, column_sums, n_threads);      \
  }

extern "C" {
FOR_TYPE(float32, float)
FOR_TYPE(bfloat16, switchhead::bf16)
}
