// A problem of rows routed to experts, and its slots in the order of their experts.
//
// A slot is one choice of an expert. Slot s reads row s / slots_per_input of x and adds its product
// to row s / slots_per_output of out.
#pragma once

#include <algorithm>
#include <vector>

#include "vectors.h"

namespace switchhead {

// Division of slot numbers by a constant, as a multiplication.
struct Divider {
  uint64_t reciprocal;  // 2^64 / divisor, rounded up; 0 for a divisor of 1

  explicit Divider(int64_t divisor)
      : reciprocal(divisor == 1 ? 0 : ~uint64_t{0} / static_cast<uint64_t>(divisor) + 1) {}
  int64_t operator()(int64_t slot) const {
    if (!reciprocal) return slot;
    return static_cast<int64_t>((static_cast<unsigned __int128>(slot) * reciprocal) >> 64);
  }
};

// The caller's arguments.
struct Arguments {
  int64_t n_slots, n_groups, width_in, width_out;
  int64_t slots_per_input, slots_per_output, slots_per_token;
  int64_t n_experts, top_k;  // per head; slots of a token are ordered by head
  const int64_t* index;      // [n_slots]: the expert of each, in [0, n_experts)
  const float* gate;         // [n_slots] or null
  int64_t n_threads;
};

struct Problem : Arguments {
  Divider input_of, output_of;  // slot to row

  explicit Problem(const Arguments& given)
      : Arguments(given), input_of(given.slots_per_input), output_of(given.slots_per_output) {}
  float gate_of(int64_t slot) const { return gate ? gate[slot] : 1.f; }
};

// The slots of each tile of tokens, stably sorted by group. The order of sums depends only on the order
// of groups and slots, not on how tokens are cut into tiles.
struct TiledSlots {
  static constexpr int64_t kMostTokens = 512, kFewestTokens = 64;
  static constexpr int64_t kSumBytes = 256 << 10;  // per tile, to fit the L2 cache

  int64_t per_tile, n_tiles;
  std::vector<int32_t> order, offset;
  bool exist = true;  // an invalid expert would write past the end of every buffer

  explicit TiledSlots(const Problem& p) {
    const int64_t n_tokens = p.n_slots / p.slots_per_token;
    const int64_t bytes_in = p.slots_per_token / p.slots_per_input * p.width_in;
    const int64_t bytes_out = p.slots_per_token / p.slots_per_output * p.width_out;
    int64_t tokens = kSumBytes / (std::max(bytes_in, bytes_out) * static_cast<int64_t>(sizeof(float)));
    tokens = std::clamp(tokens, kFewestTokens, kMostTokens);
    // Equal tiles, the same number for each thread, at least two.
    const int64_t n_rounds = std::max<int64_t>(2, divide_up(n_tokens, tokens * p.n_threads));
    tokens = std::max(kFewestTokens, divide_up(n_tokens, n_rounds * p.n_threads));
    per_tile = tokens * p.slots_per_token;
    n_tiles = divide_up(p.n_slots, per_tile);
    order.resize(p.n_slots);
    offset.resize(n_tiles * (p.n_groups + 1));
    bool all = true;
#pragma omp parallel for num_threads(p.n_threads) schedule(static) reduction(&& : all)
    for (int64_t tile = 0; tile < n_tiles; ++tile) all = sort(p, tile) && all;
    exist = all;
  }

  int64_t begin(int64_t tile) const { return tile * per_tile; }
  int64_t end(const Problem& p, int64_t tile) const { return std::min(p.n_slots, (tile + 1) * per_tile); }
  // The slots of a group in a tile.
  const int32_t* first(const Problem& p, int64_t tile, int64_t g) const {
    return order.data() + begin(tile) + offset[tile * (p.n_groups + 1) + g];
  }
  int64_t count(const Problem& p, int64_t tile, int64_t g) const {
    const int32_t* bounds = offset.data() + tile * (p.n_groups + 1) + g;
    return bounds[1] - bounds[0];
  }

 private:
  bool sort(const Problem& p, int64_t tile) {
    const int64_t from = begin(tile), to = end(p, tile);
    int32_t* bounds = offset.data() + tile * (p.n_groups + 1);
    std::vector<int64_t> first_group(p.slots_per_token);  // of each slot's head, by slot of a token
    for (int64_t place = 0; place < p.slots_per_token; ++place) first_group[place] = place / p.top_k * p.n_experts;
    for (int64_t s = from, place = 0; s < to; ++s) {
      if (p.index[s] < 0 || p.index[s] >= p.n_experts) return false;
      ++bounds[first_group[place] + p.index[s] + 1];
      if (++place == p.slots_per_token) place = 0;
    }
    for (int64_t g = 0; g < p.n_groups; ++g) bounds[g + 1] += bounds[g];
    std::vector<int32_t> next(bounds, bounds + p.n_groups);
    for (int64_t s = from, place = 0; s < to; ++s) {
      order[from + next[first_group[place] + p.index[s]]++] = static_cast<int32_t>(s);
      if (++place == p.slots_per_token) place = 0;
    }
    return true;
  }
};

}  // namespace switchhead
