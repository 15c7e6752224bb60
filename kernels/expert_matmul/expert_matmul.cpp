// Expert matmul on CPUs: gather, matmul, gate and sum in one pass over the tokens.
//
// One thread computes a tile of tokens (forward, input gradient) or an expert (weight gradient) in a
// fixed order, so results do not depend on the number of threads.

#include "weight_gradient.h"

namespace switchhead {
namespace {

// Slots of one expert: the rows they read and the rows they are added to.
template <typename T, typename Engine>
struct Block {
  static constexpr int64_t kBlockRows = Engine::kBlockRows;
  using C = typename Engine::Compute;
  int64_t n = 0;
  const C* left[kBlockRows];
  float* sum[kBlockRows];
  float gate[kBlockRows];
  const T* input[kBlockRows];  // for the gate's gradient
  vec dot[kBlockRows];
};

// A thread's state for the tiles of one pass.
template <typename Engine, typename T>
struct TileWorker {
  static constexpr int64_t kBlockRows = Engine::kBlockRows;
  using C = typename Engine::Compute;
  const Problem& p;
  const TiledSlots& slots;
  const PackedWeights<Engine>& weights;
  const T* from;           // rows to multiply
  int64_t width_from;      // their width
  Divider from_of;         // the row that a slot reads
  int64_t width_to, slots_per_to;
  Divider to_of;           // the row that its product is added to
  std::unique_ptr<float[]> sums, products;
  std::unique_ptr<C[]> copied;
  std::unique_ptr<Block<T, Engine>> block;
  bool copies;

  TileWorker(const Problem& p, const TiledSlots& slots, const PackedWeights<Engine>& weights, const T* from,
             bool is_backward)
      : p(p), slots(slots), weights(weights), from(from), width_from(is_backward ? p.width_out : p.width_in),
        from_of(is_backward ? p.output_of : p.input_of),
        width_to(is_backward ? p.width_in : p.width_out),
        slots_per_to(is_backward ? p.slots_per_input : p.slots_per_output),
        to_of(is_backward ? p.input_of : p.output_of),
        sums(scratch<float>(slots.per_tile / slots_per_to * weights.panels.width())),
        products(scratch<float>(Engine::n_products(weights.panels))), block(new Block<T, Engine>),
        copies(Engine::kCopies || weights.inner != width_from) {
    if (copies) copied = scratch<C>(kBlockRows * weights.inner);
  }

  // Multiply the slots of a tile and add them to rows of `to`; calls `finish` for each block.
  template <bool WITH_DOTS, typename Finish>
  void run(int64_t tile, const T* input, T* to, Finish finish) {
    const int64_t first_row = slots.begin(tile) / slots_per_to, width = weights.panels.width();
    const int64_t n_rows = slots.end(p, tile) / slots_per_to - first_row;
    std::memset(sums.get(), 0, n_rows * width * sizeof(float));
    for (int64_t g = 0; g < p.n_groups; ++g) {
      const int32_t* slot = slots.first(p, tile, g);
      const int64_t n = slots.count(p, tile, g);
      for (int64_t first = 0; first < n; first += kBlockRows) {
        fill(slot + first, std::min(kBlockRows, n - first), first_row, input);
        multiply<WITH_DOTS>(g);
        finish(slot + first, *block);
      }
    }
    for (int64_t r = 0; r < n_rows; ++r) store_row(sums.get() + r * width, width_to, to + (first_row + r) * width_to);
  }

 private:
  void fill(const int32_t* slot, int64_t n, int64_t first_row, const T* input) {
    Block<T, Engine>& b = *block;
    b.n = n;
    for (int64_t r = 0; r < n; ++r) {
      const T* row = from + from_of(slot[r]) * width_from;
      const int64_t to = to_of(slot[r]);
      b.sum[r] = sums.get() + (to - first_row) * weights.panels.width();
      b.gate[r] = p.gate_of(slot[r]);
      if (input) b.input[r] = input + to * width_to;
      if (copies) {
        b.left[r] = copy(row, copied.get() + r * weights.inner);
      } else if constexpr (std::is_same_v<T, C>) {
        b.left[r] = row;
      }
    }
    if (Engine::n_products(weights.panels))  // reads whole steps of rows
      std::memset(static_cast<void*>(copied.get() + n * weights.inner), 0,
                  (round_up(n, 16) - n) * weights.inner * sizeof(C));
  }

  const C* copy(const T* row, C* to) const {
    if constexpr (std::is_same_v<T, C>) {
      std::memcpy(to, row, width_from * sizeof(T));
    } else {
      for (int64_t j = 0; j < width_from; ++j) to[j] = to_float(row[j]);
    }
    for (int64_t j = width_from; j < weights.inner; ++j) to[j] = from_float<C>(0.f);
    return to;
  }

  template <bool WITH_DOTS>
  void multiply(int64_t g) {
    Block<T, Engine>& b = *block;
    if (WITH_DOTS) std::fill(b.dot, b.dot + b.n, vec{});
    Engine::multiply(b.left, b.n, weights.inner, weights.panels, weights.of(g), products.get(),
                     [&](int64_t r, int64_t column, const auto& values) __attribute__((always_inline)) {
                       if constexpr (WITH_DOTS) b.dot[r] += dot(values, b.input[r] + column, width_to - column);
                       float* sum = b.sum[r] + column;
                       const vec gate = splat(b.gate[r]);
                       for (const vec& value : values) {
                         store(load(sum) + gate * value, sum);
                         sum += kLanes;
                       }
                     });
  }
};

template <typename Engine, typename T, typename W>
void forward(const Problem& p, const TiledSlots& slots, const T* x, const W* w, T* out) {
  const PackedWeights<Engine> weights(p, w, false);
#pragma omp parallel num_threads(p.n_threads)
  {
    TileWorker<Engine, T> worker(p, slots, weights, x, false);
#pragma omp for schedule(dynamic)
    for (int64_t tile = 0; tile < slots.n_tiles; ++tile)
      worker.template run<false>(tile, nullptr, out, [](const int32_t*, const auto&) {});
    Engine::release();
  }
}

// Gradients of the inputs and of the gates, if any.
template <typename Engine, typename T, typename W>
void input_gradient(const Problem& p, const TiledSlots& slots, const T* x, const W* w, const T* grad_out, T* grad_x,
                    float* grad_gate) {
  const PackedWeights<Engine> weights(p, w, true);
#pragma omp parallel num_threads(p.n_threads)
  {
    TileWorker<Engine, T> worker(p, slots, weights, grad_out, true);
#pragma omp for schedule(dynamic)
    for (int64_t tile = 0; tile < slots.n_tiles; ++tile) {
      if (!p.gate) {
        worker.template run<false>(tile, nullptr, grad_x, [](const int32_t*, const auto&) {});
        continue;
      }
      worker.template run<true>(tile, x, grad_x, [&](const int32_t* slot, const auto& block) {
        for (int64_t r = 0; r < block.n; ++r) grad_gate[slot[r]] = sum(block.dot[r]);
      });
    }
    Engine::release();
  }
}

template <typename T>
constexpr bool kMayUseUnits = sizeof(T) == 2;

template <typename T, typename W>
bool forward_any(const Arguments& given, const T* x, const W* w, T* out) {
  const Problem p(given);
  const TiledSlots slots(p);
  if (!slots.exist) return false;
  if constexpr (kMayUseUnits<T>) {
    if (has_matrix_units()) return forward<Units>(p, slots, x, w, out), true;
  }
  forward<Registers<T>>(p, slots, x, w, out);
  return true;
}

template <typename T, typename W>
bool backward_any(const Arguments& given, const T* x, const W* w, const T* grad_out, T* grad_x, W* grad_w,
                  float* grad_gate) {
  const Problem p(given);
  const TiledSlots slots(p);
  if (!slots.exist) return false;
  if constexpr (kMayUseUnits<T>) {
    if (has_matrix_units()) {
      input_gradient<Units>(p, slots, x, w, grad_out, grad_x, grad_gate);
      weight_gradient<UnitSums, Units>(p, slots, x, grad_out, grad_w);
      return true;
    }
  }
  input_gradient<Registers<T>>(p, slots, x, w, grad_out, grad_x, grad_gate);
  weight_gradient<RegisterSums<T>, Registers<T>>(p, slots, x, grad_out, grad_w);
  return true;
}

}  // namespace
}  // namespace switchhead

// Each returns whether all expert indices are valid, and computes nothing otherwise.
#define FOR_TYPES(SUFFIX, T, W)                                                                            \
  bool expert_matmul_forward_##SUFFIX(const switchhead::Arguments* p, const T* x, const W* w, T* out) {      \
    return switchhead::forward_any<T, W>(*p, x, w, out);                                                   \
  }                                                                                                        \
  bool expert_matmul_backward_##SUFFIX(const switchhead::Arguments* p, const T* x, const W* w,               \
                                       const T* grad_out, T* grad_x, W* grad_w, float* grad_gate) {        \
    return switchhead::backward_any<T, W>(*p, x, w, grad_out, grad_x, grad_w, grad_gate);                  \
  }

extern "C" {
FOR_TYPES(float32, float, float)
FOR_TYPES(bfloat16, switchhead::bf16, switchhead::bf16)
FOR_TYPES(bfloat16_float32, switchhead::bf16, float)
// How bf16 matmuls are computed here: "amx", "avx512_bf16" or "float32".
const char* expert_matmul_bf16_products() {
  if (switchhead::has_matrix_units()) return "amx";
  return switchhead::kHasBf16Products ? "avx512_bf16" : "float32";
}
}
