// Linear layers of few outputs, such as routers: passes that read each row once.
//
// Rows are processed in chunks of fixed size, and sums over rows are added in the order of chunks, so
// results do not depend on the number of threads.

#include "parts.h"
#include "products.h"

namespace switchhead {
namespace {

constexpr int64_t kChunkRows = 128;

struct Layer {
  const float* x;       // [n_rows, width]
  const float* weight;  // [n_outputs, width]
  int64_t n_rows, width, n_outputs;

  int64_t n_chunks() const { return divide_up(n_rows, kChunkRows); }
  int64_t chunk_end(int64_t chunk) const { return std::min(n_rows, (chunk + 1) * kChunkRows); }
};

// A packed right operand.
struct Packed {
  Panels panels;
  int64_t inner;
  std::unique_ptr<float[]> entries;

  Packed(const float* from, int64_t rows, int64_t columns, bool transpose)
      : panels(transpose ? rows : columns), inner(transpose ? columns : rows),
        entries(scratch<float>(inner * panels.width())) {
    pack_right(from, rows, columns, transpose, panels, inner, entries.get());
  }

  // out[r] = rows[r] times this, for rows [first, end) of `width` entries.
  void multiply(const float* rows, int64_t first, int64_t end, int64_t width, float* out) const {
    const float* left[kChunkRows];
    for (int64_t r = first; r < end; ++r) left[r - first] = rows + r * inner;
    for (int64_t panel = 0; panel < panels.n; ++panel) {
      const int64_t column = panels.first_column(panel);
      multiply_panel<float>(left, end - first, 1, entries.get() + inner * column, panels.vectors(panel), inner,
                            [&](int64_t r, const auto& values) __attribute__((always_inline)) {
                              store_values(values, width - column, out + (first + r) * width + column);
                            });
    }
  }

  template <size_t V>
  static void store_values(const vec (&values)[V], int64_t n, float* to) {
    for (size_t v = 0; v < V; ++v) store_first(values[v], n - v * kLanes, to + v * kLanes);
  }
};

void forward(const Layer& layer, float* out, int64_t n_threads) {
  const Packed weight(layer.weight, layer.n_outputs, layer.width, true);
#pragma omp parallel for num_threads(n_threads) schedule(static)
  for (int64_t chunk = 0; chunk < layer.n_chunks(); ++chunk)
    weight.multiply(layer.x, chunk * kChunkRows, layer.chunk_end(chunk), layer.n_outputs, out);
}

// sums[o] += grad[i][o] * x[i] over the rows of a chunk, in panels.
void add_weight_gradient(const Layer& layer, const float* grad, int64_t chunk, const Panels& panels, float* right,
                         float* sums) {
  const int64_t first = chunk * kChunkRows, n = layer.chunk_end(chunk) - first;
  std::vector<const float*> outputs(layer.n_outputs);
  for (int64_t o = 0; o < layer.n_outputs; ++o) outputs[o] = grad + first * layer.n_outputs + o;
  for (int64_t panel = 0; panel < panels.n; ++panel) {
    const int64_t column = panels.first_column(panel), width = panels.vectors(panel) * kLanes;
    for (int64_t i = 0; i < n; ++i)
      for_vectors(std::min(width, layer.width - column), [&](int64_t j, int64_t some) {
        store(load_first(layer.x + (first + i) * layer.width + column + j, some), right + i * width + j);
      });
    multiply_panel<float>(outputs.data(), layer.n_outputs, layer.n_outputs, right, panels.vectors(panel), n,
                          [&](int64_t o, const auto& values) __attribute__((always_inline)) {
                            add_values(values, sums + o * panels.width() + column);
                          });
  }
}

void backward(const Layer& layer, const float* grad, float* grad_x, float* grad_weight, int64_t n_threads) {
  constexpr int64_t kMostVectorsHere = 3;  // eight outputs at once
  const Packed weight(layer.weight, layer.n_outputs, layer.width, false);
  const Panels panels(layer.width, std::min(kMostVectorsHere, kMostVectors));
  const int64_t size = layer.n_outputs * panels.width();
  std::vector<float> parts(layer.n_chunks() * size);
#pragma omp parallel num_threads(n_threads)
  {
    const auto right = scratch<float>(kChunkRows * panels.width());
#pragma omp for schedule(static)
    for (int64_t chunk = 0; chunk < layer.n_chunks(); ++chunk) {
      weight.multiply(grad, chunk * kChunkRows, layer.chunk_end(chunk), layer.width, grad_x);
      add_weight_gradient(layer, grad, chunk, panels, right.get(), parts.data() + chunk * size);
    }
  }
  std::vector<float> sums(size);
  add_parts(parts, size, sums.data(), n_threads);
  for (int64_t o = 0; o < layer.n_outputs; ++o)
    store_row(sums.data() + o * panels.width(), layer.width, grad_weight + o * layer.width);
}

}  // namespace
}  // namespace switchhead

extern "C" {
void narrow_linear_forward(const float* x, const float* weight, int64_t n_rows, int64_t width, int64_t n_outputs,
                           float* out, int64_t n_threads) {
  switchhead::forward({x, weight, n_rows, width, n_outputs}, out, n_threads);
}
void narrow_linear_backward(const float* grad, const float* x, const float* weight, int64_t n_rows, int64_t width,
                            int64_t n_outputs, float* grad_x, float* grad_weight, int64_t n_threads) {
  switchhead::backward({x, weight, n_rows, width, n_outputs}, grad, grad_x, grad_weight, n_threads);
}
}
