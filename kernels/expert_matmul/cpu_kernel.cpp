// Rows routed to experts on the CPU: gather, product, gate and sum in one pass over the tokens.
//
// A slot is one choice of an expert. Slot s reads row s / slots_per_input of x and adds its product
// to row s / slots_per_output of out. The products of small blocks of rows are those of oneDNN's
// batch-reduce kernels as PyTorch exports them, which pick AMX, AVX512 or AVX2 at run time.
//
// Each tile of tokens (forward, input gradient) and each expert (weight gradient) is worked on by one
// thread in a fixed order, so results do not depend on the number of threads.

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

namespace c10 {
struct BFloat16;
enum class ScalarType : int8_t;
}

namespace at::native::cpublas {
void brgemm(int64_t M, int64_t N, int64_t K, int64_t ld_a, int64_t ld_b, int64_t ld_c, bool add_C,
            const c10::BFloat16* A, const c10::BFloat16* B, float* C, bool is_vnni);
void brgemm(int64_t M, int64_t N, int64_t K, int64_t ld_a, int64_t ld_b, int64_t ld_c, bool add_C,
            const float* A, const float* B, float* C, bool is_vnni);
void brgemm_release(bool is_vnni);
bool could_pack(c10::ScalarType dtype);
}  // namespace at::native::cpublas

namespace {

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

inline void product(int64_t m, int64_t n, int64_t k, int64_t ld_a, int64_t ld_b, int64_t ld_c,
                    bool add, const float* a, const float* b, float* c) {
  at::native::cpublas::brgemm(m, n, k, ld_a, ld_b, ld_c, add, a, b, c, false);
}
inline void product(int64_t m, int64_t n, int64_t k, int64_t ld_a, int64_t ld_b, int64_t ld_c,
                    bool add, const bf16* a, const bf16* b, float* c) {
  at::native::cpublas::brgemm(m, n, k, ld_a, ld_b, ld_c, add,
                              reinterpret_cast<const c10::BFloat16*>(a),
                              reinterpret_cast<const c10::BFloat16*>(b), c, true);
}

// bf16 products take the right operand in pairs of rows.
template <typename T>
constexpr int64_t kPair = sizeof(T) == 2 ? 2 : 1;
// What the tile registers like their operands to be multiples of; the rest is zero.
template <typename T>
constexpr int64_t kInner = sizeof(T) == 2 ? 32 : 1;
constexpr int64_t kOuter = 16;

inline int64_t round_up(int64_t x, int64_t multiple) {
  return (x + multiple - 1) / multiple * multiple;
}

// Rows of a block; the last block of an expert is cut to a multiple of kRowStep. Few sizes, because
// each is compiled once.
constexpr int64_t kBlockRows = 128;
constexpr int64_t kRowStep = 16;
// Rows that the weight gradient adds up in one product.
constexpr int64_t kReduceRows = 256;
// Stride of its transposed operand; a power of two would map all its lines to a few cache sets.
constexpr int64_t kReduceStride = kReduceRows + 32;

struct Problem {
  int64_t n_slots, n_groups, width_in, width_out;
  int64_t slots_per_input, slots_per_output, slots_per_token, tile_tokens;
  const int32_t* group;  // [n_slots]
  const float* gate;     // [n_slots] or null
  int64_t n_threads;
};

template <typename T>
std::unique_ptr<T[]> scratch(int64_t n) {
  return std::unique_ptr<T[]>(new T[static_cast<size_t>(n)]);
}

// Lay out w[g] ([rows, columns], or its transpose) as the right operand of a product.
template <typename T, typename W>
void pack_right(const W* w, int64_t rows, int64_t columns, bool transpose, T* packed) {
  constexpr int64_t pair = kPair<T>;
  const int64_t n_rows = transpose ? columns : rows, n_columns = transpose ? rows : columns;
  const int64_t inner = round_up(n_rows, kInner<T>), outer = round_up(n_columns, kOuter);
  std::memset(static_cast<void*>(packed), 0, inner * outer * sizeof(T));
  if (!transpose) {
    for (int64_t i = 0; i < rows; ++i) {
      T* row = packed + i / pair * outer * pair + i % pair;
      for (int64_t j = 0; j < columns; ++j) row[j * pair] = from_float<T>(to_float(w[i * columns + j]));
    }
    return;
  }
  // Some rows at a time, so that what is read stays in the first cache and what is written is adjacent.
  constexpr int64_t kTileRows = 16;
  for (int64_t first = 0; first < rows; first += kTileRows) {
    const int64_t n = std::min(kTileRows, rows - first);
    for (int64_t j = 0; j < columns; ++j) {
      T* column = packed + j / pair * outer * pair + j % pair + first * pair;
      const W* from = w + first * columns + j;
      for (int64_t i = 0; i < n; ++i) column[i * pair] = from_float<T>(to_float(from[i * columns]));
    }
  }
}

// Sort slots [begin, end) by group, stably: slots of group g end up in order[offset[g], offset[g+1]).
void sort_by_group(const Problem& p, int64_t begin, int64_t end, int32_t* offset, int32_t* order) {
  std::fill(offset, offset + p.n_groups + 1, 0);
  for (int64_t s = begin; s < end; ++s) ++offset[p.group[s] + 1];
  for (int64_t g = 0; g < p.n_groups; ++g) offset[g + 1] += offset[g];
  std::vector<int32_t> next(offset, offset + p.n_groups);
  for (int64_t s = begin; s < end; ++s) order[next[p.group[s]]++] = static_cast<int32_t>(s);
}

template <typename T>
inline void copy_row(const T* from, int64_t n, int64_t padded, T* to) {
  std::memcpy(to, from, n * sizeof(T));
  for (int64_t j = n; j < padded; ++j) to[j] = from_float<T>(0.f);
}

// The rows of every expert within a tile of tokens, block by block: `left` gives the row that a slot
// multiplies, `take` gets its product.
template <typename T, typename Left, typename Take>
void for_each_block(const Problem& p, int64_t begin, int64_t end, int64_t n_inner, int64_t n_outer,
                    const T* packed_right, T* block, float* products, int32_t* offset,
                    int32_t* order, Left left, Take take) {
  sort_by_group(p, begin, end, offset, order);
  const int64_t inner = round_up(n_inner, kInner<T>), outer = round_up(n_outer, kOuter);
  for (int64_t g = 0; g < p.n_groups; ++g) {
    for (int64_t first = offset[g]; first < offset[g + 1]; first += kBlockRows) {
      const int64_t n = std::min<int64_t>(kBlockRows, offset[g + 1] - first);
      const int64_t m = round_up(n, kRowStep);
      for (int64_t r = 0; r < n; ++r) copy_row(left(order[first + r]), n_inner, inner, block + r * inner);
      std::memset(static_cast<void*>(block + n * inner), 0, (m - n) * inner * sizeof(T));
      product(m, outer, inner, inner, outer, outer, false, block, packed_right + g * inner * outer,
              products);
      for (int64_t r = 0; r < n; ++r) take(order[first + r], products + r * outer);
    }
  }
}

inline int64_t tile_slots(const Problem& p) { return p.tile_tokens * p.slots_per_token; }
inline int64_t n_tiles(const Problem& p) { return (p.n_slots + tile_slots(p) - 1) / tile_slots(p); }

template <typename T, typename W>
std::unique_ptr<T[]> pack_all(const Problem& p, const W* w, bool transpose) {
  const int64_t size = p.width_in * p.width_out;
  const int64_t inner = transpose ? p.width_out : p.width_in, outer = transpose ? p.width_in : p.width_out;
  const int64_t packed_size = round_up(inner, kInner<T>) * round_up(outer, kOuter);
  auto packed = scratch<T>(p.n_groups * packed_size);
#pragma omp parallel for num_threads(p.n_threads) schedule(static)
  for (int64_t g = 0; g < p.n_groups; ++g)
    pack_right(w + g * size, p.width_in, p.width_out, transpose, packed.get() + g * packed_size);
  return packed;
}

template <typename T>
inline void store(const float* from, int64_t n, T* to) {
  for (int64_t j = 0; j < n; ++j) to[j] = from_float<T>(from[j]);
}

template <typename T, typename W>
void forward(const Problem& p, const T* x, const W* w, T* out) {
  const int64_t X = p.width_in, Y = p.width_out, per_tile = tile_slots(p);
  const auto packed = pack_all<T>(p, w, false);
  const int64_t tile_rows = per_tile / p.slots_per_output;
#pragma omp parallel num_threads(p.n_threads)
  {
    auto block = scratch<T>(kBlockRows * round_up(X, kInner<T>));
    auto products = scratch<float>(kBlockRows * round_up(Y, kOuter));
    auto sums = scratch<float>(tile_rows * Y);
    auto offset = scratch<int32_t>(p.n_groups + 1);
    auto order = scratch<int32_t>(per_tile);
#pragma omp for schedule(dynamic)
    for (int64_t tile = 0; tile < n_tiles(p); ++tile) {
      const int64_t begin = tile * per_tile, end = std::min(p.n_slots, begin + per_tile);
      const int64_t first = begin / p.slots_per_output, rows = end / p.slots_per_output - first;
      std::fill(sums.get(), sums.get() + rows * Y, 0.f);
      for_each_block<T>(
          p, begin, end, X, Y, packed.get(), block.get(), products.get(), offset.get(), order.get(),
          [&](int64_t s) { return x + s / p.slots_per_input * X; },
          [&](int64_t s, const float* __restrict product) {
            float* __restrict sum = sums.get() + (s / p.slots_per_output - first) * Y;
            const float gate = p.gate ? p.gate[s] : 1.f;
            for (int64_t j = 0; j < Y; ++j) sum[j] += gate * product[j];
          });
      store(sums.get(), rows * Y, out + first * Y);
    }
    at::native::cpublas::brgemm_release(sizeof(T) == 2);
  }
}

// Gradients of the inputs and, where there are gates, of the gates.
template <typename T, typename W>
void input_gradient(const Problem& p, const T* x, const W* w, const T* grad_out, T* grad_x, float* grad_gate) {
  const int64_t X = p.width_in, Y = p.width_out, per_tile = tile_slots(p);
  const auto packed = pack_all<T>(p, w, true);
  const int64_t tile_rows = per_tile / p.slots_per_input;
#pragma omp parallel num_threads(p.n_threads)
  {
    auto block = scratch<T>(kBlockRows * round_up(Y, kInner<T>));
    auto products = scratch<float>(kBlockRows * round_up(X, kOuter));
    auto sums = scratch<float>(tile_rows * X);
    auto offset = scratch<int32_t>(p.n_groups + 1);
    auto order = scratch<int32_t>(per_tile);
#pragma omp for schedule(dynamic)
    for (int64_t tile = 0; tile < n_tiles(p); ++tile) {
      const int64_t begin = tile * per_tile, end = std::min(p.n_slots, begin + per_tile);
      const int64_t first = begin / p.slots_per_input, rows = end / p.slots_per_input - first;
      std::fill(sums.get(), sums.get() + rows * X, 0.f);
      for_each_block<T>(
          p, begin, end, Y, X, packed.get(), block.get(), products.get(), offset.get(), order.get(),
          [&](int64_t s) { return grad_out + s / p.slots_per_output * Y; },
          [&](int64_t s, const float* __restrict product) {
            const int64_t row = s / p.slots_per_input;
            float* __restrict sum = sums.get() + (row - first) * X;
            if (!p.gate) {
              for (int64_t j = 0; j < X; ++j) sum[j] += product[j];
              return;
            }
            const T* __restrict input = x + row * X;
            const float gate = p.gate[s];
            float dot = 0.f;
#pragma omp simd reduction(+ : dot)
            for (int64_t j = 0; j < X; ++j) {
              dot += product[j] * to_float(input[j]);
              sum[j] += gate * product[j];
            }
            grad_gate[s] = dot;
          });
      store(sums.get(), rows * X, grad_x + first * X);
    }
    at::native::cpublas::brgemm_release(sizeof(T) == 2);
  }
}

// Lay out two rows of the right operand [kReduceRows, padded] of a product; `second` may be null.
inline void put_right(const float* __restrict first, const float* __restrict second, int64_t width,
                      int64_t padded, int64_t r, float* __restrict packed) {
  std::memcpy(packed + r * padded, first, width * sizeof(float));
  if (second) std::memcpy(packed + (r + 1) * padded, second, width * sizeof(float));
}
inline void put_right(const bf16* __restrict first, const bf16* __restrict second, int64_t width,
                      int64_t padded, int64_t r, bf16* __restrict packed) {
  // A pair of rows stands interleaved; both are written in one store.
  auto* __restrict pairs = reinterpret_cast<uint32_t*>(packed + r * padded);
  for (int64_t j = 0; j < width; ++j)
    pairs[j] = first[j].bits | (second ? static_cast<uint32_t>(second[j].bits) << 16 : 0u);
}

// Lay out up to kLeftRows scaled rows of the left operand, transposed to [width, kReduceStride].
// Several at once, so that a line of the operand is written whole.
constexpr int64_t kLeftRows = 16;
template <typename T>
inline void put_left(const T* const* rows, const float* scale, int64_t n, int64_t width, int64_t r,
                     T* __restrict scaled, T* __restrict packed) {
  for (int64_t i = 0; i < n; ++i) {
    const T* __restrict row = rows[i];
    for (int64_t j = 0; j < width; ++j)
      scaled[i * width + j] = from_float<T>(scale[i] * to_float(row[j]));
  }
  for (int64_t j = 0; j < width; ++j)
    for (int64_t i = 0; i < n; ++i) packed[j * kReduceStride + r + i] = scaled[i * width + j];
}

// The narrower of input and output gradient is transposed, since that is the slower layout.
template <typename T, typename W>
void weight_gradient(const Problem& p, const T* x, const T* grad_out, W* grad_w) {
  const int64_t X = p.width_in, Y = p.width_out;
  const bool input_is_left = X <= Y;
  const int64_t L = input_is_left ? X : Y, width = input_is_left ? Y : X, R = round_up(width, kOuter);
  auto offset = scratch<int32_t>(p.n_groups + 1);
  auto order = scratch<int32_t>(p.n_slots);
  sort_by_group(p, 0, p.n_slots, offset.get(), order.get());
#pragma omp parallel num_threads(p.n_threads)
  {
    auto left = scratch<T>(L * kReduceStride);
    auto scaled = scratch<T>(kLeftRows * L);
    auto right = scratch<T>(kReduceRows * R);
    std::memset(static_cast<void*>(right.get()), 0, kReduceRows * R * sizeof(T));
    auto sums = scratch<float>(L * R);
#pragma omp for schedule(dynamic)
    for (int64_t g = 0; g < p.n_groups; ++g) {
      std::fill(sums.get(), sums.get() + L * R, 0.f);
      for (int64_t first = offset[g]; first < offset[g + 1]; first += kReduceRows) {
        const int64_t n = std::min<int64_t>(kReduceRows, offset[g + 1] - first);
        if (n < kReduceRows) {
          std::memset(static_cast<void*>(left.get()), 0, L * kReduceStride * sizeof(T));
          std::memset(static_cast<void*>(right.get()), 0, kReduceRows * R * sizeof(T));
        }
        const int32_t* slot = order.get() + first;
        const auto input = [&](int64_t r) { return x + slot[r] / p.slots_per_input * X; };
        const auto grad = [&](int64_t r) { return grad_out + slot[r] / p.slots_per_output * Y; };
        for (int64_t r = 0; r < n; r += 2) {
          const T* second = r + 1 < n ? (input_is_left ? grad(r + 1) : input(r + 1)) : nullptr;
          put_right(input_is_left ? grad(r) : input(r), second, width, R, r, right.get());
        }
        // The gate goes to the narrower side.
        for (int64_t r = 0; r < n; r += kLeftRows) {
          const int64_t n_rows = std::min(kLeftRows, n - r);
          const T* rows[kLeftRows];
          float scale[kLeftRows];
          for (int64_t i = 0; i < n_rows; ++i) {
            rows[i] = input_is_left ? input(r + i) : grad(r + i);
            scale[i] = p.gate ? p.gate[slot[r + i]] : 1.f;
          }
          put_left(rows, scale, n_rows, L, r, scaled.get(), left.get());
        }
        product(L, R, kReduceRows, kReduceStride, R, R, true, left.get(), right.get(), sums.get());
      }
      W* target = grad_w + g * X * Y;
      for (int64_t i = 0; i < L; ++i)
        for (int64_t j = 0; j < width; ++j)
          target[input_is_left ? i * Y + j : j * Y + i] = from_float<W>(sums[i * R + j]);
    }
    at::native::cpublas::brgemm_release(sizeof(T) == 2);
  }
}

// An expert that does not exist would be written past the end of every buffer.
bool groups_exist(const Problem& p) {
  return std::all_of(p.group, p.group + p.n_slots,
                     [&](int32_t group) { return 0 <= group && group < p.n_groups; });
}

}  // namespace

#define FOR_TYPES(SUFFIX, T, W)                                                                   \
  bool expert_matmul_forward_##SUFFIX(const Problem* p, const T* x, const W* w, T* out) {         \
    if (!groups_exist(*p)) return false;                                                          \
    forward<T, W>(*p, x, w, out);                                                                 \
    return true;                                                                                  \
  }                                                                                               \
  bool expert_matmul_input_gradient_##SUFFIX(const Problem* p, const T* x, const W* w,            \
                                             const T* grad_out, T* grad_x, float* grad_gate) {    \
    if (!groups_exist(*p)) return false;                                                          \
    input_gradient<T, W>(*p, x, w, grad_out, grad_x, grad_gate);                                  \
    return true;                                                                                  \
  }                                                                                               \
  bool expert_matmul_weight_gradient_##SUFFIX(const Problem* p, const T* x, const T* grad_out,    \
                                              W* grad_w) {                                        \
    if (!groups_exist(*p)) return false;                                                          \
    weight_gradient<T, W>(*p, x, grad_out, grad_w);                                               \
    return true;                                                                                  \
  }

extern "C" {
// Whether products of bf16 pairs exist on this CPU; without them oneDNN refuses the layout used here.
bool expert_matmul_has_bfloat16() {
  constexpr auto kBFloat16 = static_cast<c10::ScalarType>(15);
  return at::native::cpublas::could_pack(kBFloat16);
}
FOR_TYPES(float32, float, float)
FOR_TYPES(bfloat16, bf16, bf16)
FOR_TYPES(bfloat16_float32, bf16, float)
}
