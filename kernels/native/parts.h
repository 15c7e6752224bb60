// Sums over rows processed in chunks: one partial sum per chunk, added in order.
#pragma once

#include <algorithm>
#include <vector>

#include "vectors.h"

namespace switchhead {

// Add the rows of `parts` ([n, width]) to `sums`, in order.
inline void add_parts(const std::vector<float>& parts, int64_t width, float* sums, int64_t n_threads) {
  constexpr int64_t kColumns = 256;
  const int64_t n = parts.size() / width;
#pragma omp parallel for num_threads(n_threads) schedule(static)
  for (int64_t first = 0; first < width; first += kColumns)
    for (int64_t i = 0; i < n; ++i)
      for (int64_t j = first; j < std::min(width, first + kColumns); ++j) sums[j] += parts[i * width + j];
}

}  // namespace switchhead
