// The largest entries of short rows, such as scores of experts.

#include <algorithm>

#include "vectors.h"

namespace switchhead {
namespace {

// An integer in the order of x, NaN largest and -0 equal to 0; on ties the lower index is larger.
inline int64_t rank_of(float x, int64_t index) {
  const float value = x + 0.f;
  int32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  const int32_t ordered = value != value ? INT32_MAX : bits ^ ((bits >> 31) & INT32_MAX);
  return static_cast<int64_t>(ordered) << 32 | (UINT32_MAX - index);
}

// The indices of a row's k largest entries, largest first, ties to the lower index. Rows have at most
// MOST entries, which fit registers.
template <int MOST>
void choose_largest(const float* row, int64_t width, int64_t k, int64_t* index) {
  float scores[std::max<int64_t>(MOST, kLanes)];
  for_vectors(width, [&](int64_t e, int64_t n) { store(load_first(row + e, n), scores + e); });
  int64_t ranks[MOST];  // all distinct
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

extern "C" void largest_indices(const float* scores, int64_t n_rows, int64_t width, int64_t k, int64_t* index,
                                int64_t n_threads) {
  switchhead::largest_indices(scores, n_rows, width, k, index, n_threads);
}
