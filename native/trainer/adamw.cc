#include "trainer/adamw.h"

#include <algorithm>
#include <cmath>

#include "ops/math.h"

namespace colophon {

void AdamW::step(OpContext& context, std::span<float> values, std::span<const float> gradients, double learning_rate) {
  ++steps_;
  const auto count = static_cast<double>(steps_);
  const double correction1 = 1 - det_pow(static_cast<double>(options_.beta1), count);
  const double correction2 = 1 - det_pow(static_cast<double>(options_.beta2), count);
  const auto keep = static_cast<float>(1 - learning_rate * static_cast<double>(options_.weight_decay));
  const auto size = static_cast<float>(learning_rate / correction1);
  const auto root = static_cast<float>(std::sqrt(correction2));
  const float beta2 = options_.beta2, new1 = 1 - options_.beta1, new2 = 1 - beta2, epsilon = options_.epsilon;
  constexpr size_t kChunk = 16384;
  context.pool.parallel_for((values.size() + kChunk - 1) / kChunk, [&](size_t task, size_t) {
    const size_t end = std::min(values.size(), (task + 1) * kChunk);
    for (size_t i = task * kChunk; i < end; ++i) {
      const float g = gradients[i];
      const float m = first_[i] + new1 * (g - first_[i]);
      const float v = second_[i] * beta2 + new2 * g * g;
      first_[i] = m;
      second_[i] = v;
      values[i] = values[i] * keep - size * (m / (std::sqrt(v) / root + epsilon));
    }
  });
}

void AdamW::restore(uint64_t steps, std::span<const float> first, std::span<const float> second) {
  steps_ = steps;
  first_.assign(first.begin(), first.end());
  second_.assign(second.begin(), second.end());
}

double gradient_norm(std::span<const float> gradients) {
  double sums[16] = {};
  for (size_t i = 0; i < gradients.size(); ++i) {
    const auto g = static_cast<double>(gradients[i]);
    sums[i % 16] += g * g;
  }
  double sum = 0;
  for (const double part : sums) sum += part;
  return std::sqrt(sum);
}

}  // namespace colophon
