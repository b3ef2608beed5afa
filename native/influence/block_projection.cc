#include "influence/block_projection.h"

#include <algorithm>

#include "trainer/counter_random.h"

namespace colophon {

BlockProjection::BlockProjection(std::span<const TrainableModule> modules, uint32_t dims, uint64_t seed) : dims_(dims) {
  for (const TrainableModule& module : modules) {
    const size_t rank = module.module.rank;
    const uint64_t place = module.module.layer * kLinearsPerLayer + static_cast<size_t>(module.module.linear);
    blocks_.push_back({module.a, rank * module.in, random_bits(seed, 2 * place)});
    blocks_.push_back({module.b, rank * module.out, random_bits(seed, 2 * place + 1)});
  }
}

void BlockProjection::project(std::span<const float> values, std::span<float> out) const {
  std::vector<double> sums(dims_);
  for (size_t block = 0; block < blocks_.size(); ++block) {
    const auto [first, count, key] = blocks_[block];
    const float* const from = &values[first];
    float* const to = &out[block * dims_];
    if (count <= dims_) {
      std::fill(std::copy_n(from, count, to), to + dims_, 0.0f);
      continue;
    }
    std::fill(sums.begin(), sums.end(), 0.0);
    const auto add = [&](size_t i, uint32_t bits) {
      const auto value = static_cast<double>(from[i]);
      sums[(uint64_t{bits >> 1} * dims_) >> 31] += bits & 1 ? value : -value;
    };
    for (size_t i = 0; i < count; i += 2) {
      const uint64_t bits = random_bits(key, i);
      add(i, static_cast<uint32_t>(bits));
      if (i + 1 < count) add(i + 1, static_cast<uint32_t>(bits >> 32));
    }
    for (size_t i = 0; i < dims_; ++i) to[i] = static_cast<float>(sums[i]);
  }
}

}  // namespace colophon
