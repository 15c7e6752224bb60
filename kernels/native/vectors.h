// Vectors of floats, as wide as the CPU's, and bf16.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#if defined(__AVX512F__)
#include <immintrin.h>
#endif

namespace switchhead {

#if defined(__AVX512F__)
constexpr int64_t kVectorBytes = 64;
#elif defined(__AVX__)
constexpr int64_t kVectorBytes = 32;
#else
constexpr int64_t kVectorBytes = 16;
#endif
constexpr int64_t kLanes = kVectorBytes / sizeof(float);

typedef float vec __attribute__((vector_size(kVectorBytes)));
typedef float unaligned_vec __attribute__((vector_size(kVectorBytes), aligned(4), may_alias));
typedef int32_t int_vec __attribute__((vector_size(kVectorBytes)));
typedef uint32_t bits_vec __attribute__((vector_size(kVectorBytes)));
typedef uint16_t half_vec __attribute__((vector_size(kVectorBytes / 2)));
typedef uint16_t unaligned_half_vec __attribute__((vector_size(kVectorBytes / 2), aligned(2), may_alias));

#if defined(__AVX512F__)
inline __mmask16 first_lanes(int64_t n) { return static_cast<__mmask16>((1u << n) - 1); }
#endif

struct bf16 {
  uint16_t bits;
};

inline float to_float(float x) { return x; }
inline float to_float(bf16 x) {
  const uint32_t bits = static_cast<uint32_t>(x.bits) << 16;
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

template <typename T>
inline T from_float(float x);
template <>
inline float from_float<float>(float x) {
  return x;
}
// Round to nearest even; NaN stays NaN.
template <>
inline bf16 from_float<bf16>(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  const uint32_t rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
  return {static_cast<uint16_t>(x != x ? 0x7fc0 : rounded)};
}

// Each half in the lower half of a lane.
inline bits_vec widened(half_vec halves) {
#if defined(__AVX512F__)  // one instruction, where the compiler emits five
  return reinterpret_cast<bits_vec>(_mm512_cvtepu16_epi32(reinterpret_cast<__m256i>(halves)));
#else
  return __builtin_convertvector(halves, bits_vec);
#endif
}

inline vec splat(float x) { return x - vec{}; }

inline vec load(const float* from) { return *reinterpret_cast<const unaligned_vec*>(from); }
inline vec load(const bf16* from) {
  const half_vec bits = *reinterpret_cast<const unaligned_half_vec*>(from);
  return reinterpret_cast<vec>(widened(bits) << 16);
}

// bf16 in the upper half of each lane, rounded to nearest even; NaN stays NaN.
inline bits_vec rounded_bits(vec x) {
#if defined(__AVX512BF16__)
  return widened(reinterpret_cast<half_vec>(_mm512_cvtneps_pbh(reinterpret_cast<__m512>(x)))) << 16;
#else
  const bits_vec bits = reinterpret_cast<bits_vec>(x);
  const bits_vec rounded = (bits + 0x7fff + ((bits >> 16) & 1)) & 0xffff0000u;
  return x == x ? rounded : bits_vec{} + 0x7fc00000u;
#endif
}

inline void store(vec x, float* to) { *reinterpret_cast<unaligned_vec*>(to) = x; }
inline void store(vec x, bf16* to) {
#if defined(__AVX512BF16__)
  const auto rounded = _mm512_cvtneps_pbh(reinterpret_cast<__m512>(x));
  std::memcpy(to, &rounded, sizeof rounded);
#else
  *reinterpret_cast<unaligned_half_vec*>(to) = __builtin_convertvector(rounded_bits(x) >> 16, half_vec);
#endif
}

// Load the first n > 0 entries, at most a vector; other lanes are zero.
inline vec load_first(const float* from, int64_t n) {
  if (n >= kLanes) return load(from);
#if defined(__AVX512F__)
  return reinterpret_cast<vec>(_mm512_maskz_loadu_ps(first_lanes(n), from));
#else
  alignas(kVectorBytes) float entries[kLanes] = {};
  std::memcpy(entries, from, n * sizeof(float));
  return load(entries);
#endif
}
inline vec load_first(const bf16* from, int64_t n) {
  if (n >= kLanes) return load(from);
#if defined(__AVX512BW__) && defined(__AVX512VL__)
  const __m256i bits = _mm256_maskz_loadu_epi16(first_lanes(n), from);
  return reinterpret_cast<vec>(widened(reinterpret_cast<half_vec>(bits)) << 16);
#else
  alignas(kVectorBytes) bf16 entries[kLanes] = {};
  std::memcpy(entries, from, n * sizeof(bf16));
  return load(entries);
#endif
}

// Store the first n > 0 entries, at most a vector.
inline void store_first(vec x, int64_t n, float* to) {
  if (n >= kLanes) return store(x, to);
#if defined(__AVX512F__)
  _mm512_mask_storeu_ps(to, first_lanes(n), reinterpret_cast<__m512>(x));
#else
  std::memcpy(to, &x, n * sizeof(float));
#endif
}
inline void store_first(vec x, int64_t n, bf16* to) {
  if (n >= kLanes) return store(x, to);
  alignas(kVectorBytes / 2) bf16 entries[kLanes];
  store(x, entries);
#if defined(__AVX512BW__) && defined(__AVX512VL__)
  const __m256i bits = _mm256_load_si256(reinterpret_cast<const __m256i*>(entries));
  _mm256_mask_storeu_epi16(to, first_lanes(n), bits);
#else
  std::memcpy(to, entries, n * sizeof(bf16));
#endif
}

// Call `work(j, n)` for entries j to j + n: each whole vector of a row, then its tail.
template <typename Work>
__attribute__((always_inline)) inline void for_vectors(int64_t width, Work work) {
  int64_t j = 0;
  for (; j + kLanes <= width; j += kLanes) work(j, kLanes);
  if (j < width) work(j, width - j);
}

// e^x to within 2 units in the last place; 0 below -87.
inline vec exponential(vec x) {
  constexpr float kLowest = -87.f, kLog2E = 1.44269504f, kLn2High = 0.693359375f, kLn2Low = -2.12194440e-4f;
  const vec bounded = x > kLowest ? x : splat(kLowest);
  const vec scaled = bounded * kLog2E;
  const int_vec n = __builtin_convertvector(scaled + (scaled > 0.f ? splat(0.5f) : splat(-0.5f)), int_vec);
  const vec whole = __builtin_convertvector(n, vec);
  const vec r = bounded - whole * kLn2High - whole * kLn2Low;
  vec p = splat(1.9875691500e-4f);
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.f;
  const vec power = reinterpret_cast<vec>((n + 127) << 23);
  return x > kLowest ? p * power : vec{};
}

inline float largest(vec x) {
  float found = x[0];
  for (int64_t i = 1; i < kLanes; ++i) found = x[i] > found ? x[i] : found;
  return found;
}

inline float sum(vec x) {
  float total = 0.f;
  for (int64_t i = 0; i < kLanes; ++i) total += x[i];
  return total;
}

// x[j] = e^(x[j] - shift); returns their sum. NaN propagates.
inline float exponentials(float* x, int64_t width, float shift) {
  vec total = {};
  int64_t j = 0;
  for (; j + kLanes <= width; j += kLanes) {
    const vec shifted = load(x + j) - shift;
    const vec e = shifted == shifted ? exponential(shifted) : shifted;
    store(e, x + j);
    total += e;
  }
  float rest = 0.f;
  for (; j < width; ++j) rest += x[j] = std::exp(x[j] - shift);
  return sum(total) + rest;
}

// Copy n entries, rounded to T.
template <typename From, typename T>
inline void store_row(const From* from, int64_t n, T* to) {
  for_vectors(n, [&](int64_t j, int64_t some) { store_first(load_first(from + j, some), some, to + j); });
}

#if defined(__AVX512F__)
// Interleaved lanes of a and b, from lane FIRST on.
template <int FIRST>
inline vec zip(vec a, vec b) {
  constexpr int kB = 16;
  const __m512i lanes = _mm512_setr_epi32(FIRST, kB + FIRST, FIRST + 1, kB + FIRST + 1, FIRST + 2, kB + FIRST + 2,
                                          FIRST + 3, kB + FIRST + 3, FIRST + 4, kB + FIRST + 4, FIRST + 5,
                                          kB + FIRST + 5, FIRST + 6, kB + FIRST + 6, FIRST + 7, kB + FIRST + 7);
  return reinterpret_cast<vec>(
      _mm512_permutex2var_ps(reinterpret_cast<__m512>(a), lanes, reinterpret_cast<__m512>(b)));
}
#endif

// Transpose n_rows rows of kLanes lanes (floats or pairs of bf16) into n_columns rows, `stride` apart.
inline void transpose(const float* from, int64_t n_rows, int64_t n_columns, int64_t stride, float* to) {
#if defined(__AVX512F__)
  vec rows[kLanes], zipped[kLanes];
  for (int64_t r = 0; r < kLanes; ++r) rows[r] = load(from + r * kLanes);
  // Each round moves one bit from the row number to the lane number.
#pragma GCC unroll 4
  for (int64_t bit = 1; bit < kLanes; bit *= 2) {
#pragma GCC unroll 8
    for (int64_t r = 0; r < kLanes / 2; ++r) {
      zipped[2 * r] = zip<0>(rows[r], rows[r + kLanes / 2]);
      zipped[2 * r + 1] = zip<8>(rows[r], rows[r + kLanes / 2]);
    }
#pragma GCC unroll 16
    for (int64_t r = 0; r < kLanes; ++r) rows[r] = zipped[r];
  }
  for (int64_t c = 0; c < n_columns; ++c) store_first(rows[c], n_rows, to + c * stride);
#else
  for (int64_t c = 0; c < n_columns; ++c)
    for (int64_t r = 0; r < n_rows; ++r) std::memcpy(to + c * stride + r, from + r * kLanes + c, sizeof(float));
#endif
}

// weight = softmax(scores), whose maximum is given; overwrites the scores.
template <typename T>
inline void softmax_row(float* scores, int64_t n, float maximum, T* weight) {
  const float scale = 1.f / exponentials(scores, n, maximum);
  for_vectors(n, [&](int64_t j, int64_t some) __attribute__((always_inline)) {
    store_first(load_first(scores + j, some) * scale, some, weight + j);
  });
}

template <typename T>
inline float dot(const T* a, const T* b, int64_t n) {
  vec total = {};
  for_vectors(n, [&](int64_t j, int64_t some) __attribute__((always_inline)) {
    total += load_first(a + j, some) * load_first(b + j, some);
  });
  return sum(total);
}

inline int64_t divide_up(int64_t x, int64_t divisor) { return (x + divisor - 1) / divisor; }
inline int64_t round_up(int64_t x, int64_t multiple) { return divide_up(x, multiple) * multiple; }

}  // namespace switchhead
