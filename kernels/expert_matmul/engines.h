// Engines that multiply a block of one expert's rows: in registers, or with matrix units where the CPU
// has them.
#pragma once

#include <type_traits>

#include "matrix_units.h"
#include "products.h"
#include "slots.h"

namespace switchhead {

// Reads rows in place, unless they need conversion or padding to whole pairs.
template <typename T>
struct Registers {
  using Compute = std::conditional_t<sizeof(T) == 2 && !kHasBf16Products, float, T>;
  static constexpr int64_t kBlockRows = 120;  // a multiple of 5, 6 and 8: see `rows_at_once`
  static constexpr int64_t kInner = kPair<Compute>;
  static constexpr bool kCopies = !std::is_same_v<T, Compute>;

  static Panels panels(int64_t width) { return Panels(width); }

  // `take(row, column, values)` receives a row's products from `column` on, an array of vectors.
  template <typename Take>
  static void multiply(const Compute* const* rows, int64_t n, int64_t inner, const Panels& panels,
                       const Compute* packed, float*, Take take) {
    for (int64_t p = 0; p < panels.n; ++p) {
      const int64_t column = panels.first_column(p), n_vectors = panels.vectors(p);
      const auto at_column = [&](int64_t r, const auto& values) __attribute__((always_inline)) {
        take(r, column, values);
      };
      multiply_panel<Compute>(rows, n, kInner, packed + inner * column, n_vectors, inner / kInner, at_column);
    }
  }
  static int64_t n_products(const Panels&) { return 0; }
  static void release() {}
};

// Copies rows into a contiguous block and multiplies them in one call.
struct Units {
  using Compute = bf16;
  static constexpr int64_t kInner = kUnitInner;
  static constexpr bool kCopies = true;
  static constexpr int64_t kBlockRows = 128;
  static constexpr int64_t kRowStep = 16;  // few distinct sizes, since each is JIT-compiled

  static Panels panels(int64_t width) { return Panels(width, int64_t{1} << 30); }

  template <typename Take>
  static void multiply(const bf16* const* rows, int64_t n, int64_t inner, const Panels& panels, const bf16* packed,
                       float* products, Take take) {
    const int64_t width = panels.width();
    multiply_by_units(round_up(n, kRowStep), width, inner, inner, false, rows[0], packed, products);
    for (int64_t r = 0; r < n; ++r)
      for (int64_t column = 0; column < width; column += kLanes) {
        const vec values[1] = {load(products + r * width + column)};
        take(r, column, values);
      }
  }
  static int64_t n_products(const Panels& panels) { return kBlockRows * panels.width(); }
  static void release() { release_units(); }
};

// The weights of all experts, packed.
template <typename Engine>
struct PackedWeights {
  using C = typename Engine::Compute;
  Panels panels;
  int64_t inner;
  std::unique_ptr<C[]> packed;

  template <typename W>
  PackedWeights(const Problem& p, const W* w, bool transpose)
      : panels(Engine::panels(transpose ? p.width_in : p.width_out)),
        inner(round_up(transpose ? p.width_out : p.width_in, Engine::kInner)),
        packed(scratch<C>(p.n_groups * size())) {
#pragma omp parallel for num_threads(p.n_threads) schedule(static)
    for (int64_t g = 0; g < p.n_groups; ++g)
      pack_right(w + g * p.width_in * p.width_out, p.width_in, p.width_out, transpose, panels, inner,
                 packed.get() + g * size());
  }
  int64_t size() const { return inner * panels.width(); }
  const C* of(int64_t g) const { return packed.get() + g * size(); }
};

}  // namespace switchhead
