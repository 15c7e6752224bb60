// Vectors of floats as wide as the CPU has them, and bf16.
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

inline vec splat(float x) { return x - vec{}; }

inline vec load(const float* from) { return *reinterpret_cast<const unaligned_vec*>(from); }
inline vec load(const bf16* from) {
  const half_vec bits = *reinterpret_cast<const unaligned_half_vec*>(from);
  return reinterpret_cast<vec>(__builtin_convertvector(bits, bits_vec) << 16);
}

// bf16 in the upper half of each lane, rounded to nearest even; NaN stays NaN.
inline bits_vec rounded_bits(vec x) {
  const bits_vec bits = reinterpret_cast<bits_vec>(x);
  const bits_vec rounded = (bits + 0x7fff + ((bits >> 16) & 1)) & 0xffff0000u;
  return x == x ? rounded : bits_vec{} + 0x7fc00000u;
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

// The first n < kLanes entries; the others are zero.
template <typename T>
inline vec load_first(const T* from, int64_t n) {
  alignas(kVectorBytes) float entries[kLanes] = {};
  for (int64_t i = 0; i < n; ++i) entries[i] = to_float(from[i]);
  return load(entries);
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

// x[j] = e^(x[j] - shift); returns their sum. A NaN among them makes it NaN.
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

// Copy n floats, rounded to T.
template <typename T>
inline void store_row(const float* from, int64_t n, T* to) {
  int64_t j = 0;
  for (; j + kLanes <= n; j += kLanes) store(load(from + j), to + j);
  for (; j < n; ++j) to[j] = from_float<T>(from[j]);
}

inline int64_t round_up(int64_t x, int64_t multiple) { return (x + multiple - 1) / multiple * multiple; }

}  // namespace switchhead
