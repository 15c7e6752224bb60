// Rotation of channels by position, and back.

#include "vectors.h"

namespace switchhead {
namespace {

// Between the starts of successive heads, sequences and positions.
struct Strides {
  int64_t head, sequence, position;
};

// Rotate channels j and j + half for j < half by one position's angles; copy those from 2 * half on.
template <typename T>
void rotate_row(const T* from, const T* cos, const T* sin, int64_t half, int64_t width, float direction, T* to) {
  for_vectors(half, [&](int64_t j, int64_t n) __attribute__((always_inline)) {
    const vec left = load_first(from + j, n), right = load_first(from + half + j, n);
    const vec c = load_first(cos + j, n), s = load_first(sin + j, n) * direction;
    store_first(left * c - right * s, n, to + j);
    store_first(right * c + left * s, n, to + half + j);
  });
  for (int64_t j = 2 * half; j < width; ++j) to[j] = from[j];
}

template <typename T>
void rotate(const T* from, Strides stride, const T* cos, const T* sin, int64_t n_heads, int64_t n_sequences,
            int64_t n_positions, int64_t width, int64_t n_rotated, int64_t is_backward, T* to, Strides to_stride,
            int64_t n_threads) {
  const int64_t half = n_rotated / 2;
  const float direction = is_backward ? -1.f : 1.f;
#pragma omp parallel for num_threads(n_threads) schedule(static)
  for (int64_t row = 0; row < n_heads * n_sequences * n_positions; ++row) {
    const int64_t position = row % n_positions, sequence = row / n_positions % n_sequences;
    const int64_t head = row / (n_positions * n_sequences);
    const auto at = [&](Strides by) {
      return head * by.head + sequence * by.sequence + position * by.position;
    };
    rotate_row(from + at(stride), cos + position * half, sin + position * half, half, width, direction,
               to + at(to_stride));
  }
}

}  // namespace
}  // namespace switchhead

#define FOR_TYPE(SUFFIX, T)                                                                                         \
  void rotate_##SUFFIX(const T* from, int64_t head, int64_t sequence, int64_t position, const T* cos, const T* sin, \
                       int64_t n_heads, int64_t n_sequences, int64_t n_positions, int64_t width,                    \
                       int64_t n_rotated, int64_t is_backward, T* to, int64_t to_head, int64_t to_sequence,         \
                       int64_t to_position, int64_t n_threads) {                                                    \
    switchhead::rotate(from, {head, sequence, position}, cos, sin, n_heads, n_sequences, n_positions, width,        \
                       n_rotated, is_backward, to, {to_head, to_sequence, to_position}, n_threads);                 \
  }

extern "C" {
FOR_TYPE(float32, float)
FOR_TYPE(bfloat16, switchhead::bf16)
}
