// Gradient of the experts' weights: sums over slots of input rows times gated output gradients.
//
// One thread computes a group, slot by slot in order, so results do not depend on the number of
// threads.
#pragma once

#include "engines.h"

namespace switchhead {

// The slots of a group, tile after tile.
inline void collect(const Problem& p, const TiledSlots& slots, int64_t g, std::vector<int32_t>& found) {
  found.clear();
  for (int64_t tile = 0; tile < slots.n_tiles; ++tile) {
    const int32_t* first = slots.first(p, tile, g);
    found.insert(found.end(), first, first + slots.count(p, tile, g));
  }
}

// In registers: both operands are packed slot by slot, the output gradient in panels.
template <typename T>
struct RegisterSums {
  using C = typename Registers<T>::Compute;
  static constexpr int64_t kPairs = kPair<C>;
  static constexpr int64_t kLeftBytes = 512 << 10;  // to fit the L2 cache
  const Problem& p;
  const T *x, *grad;
  int64_t per_pass;  // slots accumulated in registers before a store
  Panels panels;
  std::unique_ptr<C[]> left, right;
  std::unique_ptr<float[]> sums;

  RegisterSums(const Problem& p, const T* x, const T* grad)
      : p(p), x(x), grad(grad),
        per_pass(kPairs * std::clamp<int64_t>(kLeftBytes / (p.width_in * kPairs * sizeof(C)), 64, 256)),
        panels(p.width_out), left(scratch<C>(per_pass * p.width_in)), right(scratch<C>(per_pass * panels.width())),
        sums(scratch<float>(p.width_in * panels.width())) {
    std::memset(static_cast<void*>(right.get()), 0, per_pass * panels.width() * sizeof(C));
  }

  template <typename W>
  void sum(const std::vector<int32_t>& slots, W* to) {
    const int64_t n = slots.size(), X = p.width_in, Y = p.width_out;
    std::memset(sums.get(), 0, X * panels.width() * sizeof(float));
    for (int64_t first = 0; first < n; first += per_pass) add(slots.data() + first, std::min(per_pass, n - first));
    for (int64_t panel = 0; panel < panels.n; ++panel) {
      const int64_t column = panels.first_column(panel), width = panels.vectors(panel) * kLanes;
      for (int64_t i = 0; i < X; ++i)
        store_row(sums.get() + column * X + i * width, std::min(width, Y - column), to + i * Y + column);
    }
  }

 private:
  void add(const int32_t* slot, int64_t n) {
    const int64_t X = p.width_in, n_steps = divide_up(n, kPairs);
    for (int64_t step = 0; step < n_steps; ++step) lay_out(slot + step * kPairs, n - step * kPairs, step);
    const C* columns[kMostColumns];
    for (int64_t panel = 0; panel < panels.n; ++panel) {
      const int64_t first = panels.first_column(panel), n_vectors = panels.vectors(panel);
      float* target = sums.get() + first * X;
      for (int64_t i = 0; i < X; i += kMostColumns) {
        const int64_t some = std::min(kMostColumns, X - i);
        for (int64_t c = 0; c < some; ++c) columns[c] = left.get() + (i + c) * kPairs;
        multiply_panel<C>(columns, some, X * kPairs, right.get() + first * per_pass, n_vectors, n_steps,
                          [&](int64_t r, const auto& values) __attribute__((always_inline)) {
                            add_values(values, target + (i + r) * n_vectors * kLanes);
                          });
      }
    }
  }

  // Pack the slots of a step; the gate is applied to the narrower operand.
  void lay_out(const int32_t* slot, int64_t n, int64_t step) {
    const int64_t X = p.width_in, Y = p.width_out;
    const int64_t second = kPairs == 2 && n > 1 ? slot[1] : -1;
    const bool gates_left = p.gate && X <= Y, gates_right = p.gate && X > Y;
    const float gate = p.gate_of(slot[0]), second_gate = second < 0 ? 1.f : p.gate_of(second);
    const auto put = [&](bool gates, const T* from, const T* also, int64_t width, C* to) {
      if (gates) return put_pair<true>(from, also, gate, second_gate, width, to);
      put_pair(from, also, width, to);
    };
    const T* input = second < 0 ? nullptr : x + p.input_of(second) * X;
    put(gates_left, x + p.input_of(slot[0]) * X, input, X, left.get() + step * X * kPairs);
    const T* output = grad + p.output_of(slot[0]) * Y;
    for (int64_t panel = 0; panel < panels.n; ++panel) {
      const int64_t first = panels.first_column(panel), width = panels.vectors(panel) * kLanes;
      const T* also = second < 0 ? nullptr : grad + p.output_of(second) * Y + first;
      put(gates_right, output + first, also, std::min(width, Y - first),
          right.get() + first * per_pass + step * width * kPairs);
    }
  }

  static constexpr int64_t kMostColumns = 240;
};

// With matrix units: transposes the narrower of input and output gradient, since transposing is slow.
struct UnitSums {
  static constexpr int64_t kSlots = 256;
  // Stride of the transposed operand; a power of two would map its lines to few cache sets.
  static constexpr int64_t kStride = kSlots + 32;
  static constexpr int64_t kTransposed = 16;  // rows at once, to write whole cache lines
  const Problem& p;
  const bf16 *x, *grad;
  bool input_is_left;
  int64_t n_left, n_right, width;
  std::unique_ptr<bf16[]> left, right, scaled;
  std::unique_ptr<float[]> sums;

  UnitSums(const Problem& p, const bf16* x, const bf16* grad)
      : p(p), x(x), grad(grad), input_is_left(p.width_in <= p.width_out),
        n_left(std::min(p.width_in, p.width_out)), n_right(std::max(p.width_in, p.width_out)),
        width(round_up(n_right, kUnitOuter)), left(scratch<bf16>(n_left * kStride)),
        right(scratch<bf16>(kSlots * width)), scaled(scratch<bf16>(kTransposed * n_left)),
        sums(scratch<float>(n_left * width)) {
    std::memset(static_cast<void*>(right.get()), 0, kSlots * width * sizeof(bf16));
  }

  template <typename W>
  void sum(const std::vector<int32_t>& slots, W* to) {
    const int64_t n = slots.size(), Y = p.width_out;
    std::memset(sums.get(), 0, n_left * width * sizeof(float));
    for (int64_t first = 0; first < n; first += kSlots) add(slots.data() + first, std::min(kSlots, n - first));
    for (int64_t i = 0; i < n_left; ++i)
      for (int64_t j = 0; j < n_right; ++j)
        to[input_is_left ? i * Y + j : j * Y + i] = from_float<W>(sums[i * width + j]);
  }

 private:
  const bf16* row(bool of_input, int64_t slot) const {
    return of_input ? x + p.input_of(slot) * p.width_in : grad + p.output_of(slot) * p.width_out;
  }

  void add(const int32_t* slot, int64_t n) {
    if (n < kSlots) {
      std::memset(static_cast<void*>(left.get()), 0, n_left * kStride * sizeof(bf16));
      std::memset(static_cast<void*>(right.get()), 0, kSlots * width * sizeof(bf16));
    }
    for (int64_t r = 0; r < n; r += 2)
      put_pair(row(!input_is_left, slot[r]), r + 1 < n ? row(!input_is_left, slot[r + 1]) : nullptr, n_right,
               right.get() + r * width);
    for (int64_t r = 0; r < n; r += kTransposed) transpose(slot + r, std::min(kTransposed, n - r), left.get() + r);
    multiply_by_units(n_left, width, kSlots, kStride, true, left.get(), right.get(), sums.get());
  }

  void transpose(const int32_t* slot, int64_t n, bf16* to) {
    for (int64_t i = 0; i < n; ++i) {
      const bf16* from = row(input_is_left, slot[i]);
      const float gate = p.gate_of(slot[i]);
      for (int64_t j = 0; j < n_left; ++j) scaled[i * n_left + j] = from_float<bf16>(gate * to_float(from[j]));
    }
    for (int64_t j = 0; j < n_left; ++j)
      for (int64_t i = 0; i < n; ++i) to[j * kStride + i] = scaled[i * n_left + j];
  }
};

template <typename Sums, typename Engine, typename T, typename W>
void weight_gradient(const Problem& p, const TiledSlots& slots, const T* x, const T* grad_out, W* grad_w) {
#pragma omp parallel num_threads(p.n_threads)
  {
    Sums sums(p, x, grad_out);
    std::vector<int32_t> of_group;
#pragma omp for schedule(dynamic)
    for (int64_t g = 0; g < p.n_groups; ++g) {
      collect(p, slots, g, of_group);
      sums.sum(of_group, grad_w + g * p.width_in * p.width_out);
    }
    Engine::release();
  }
}

}  // namespace switchhead
