#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "ops/context.h"

namespace colophon {

struct AdamWOptions {
  float beta1 = 0.9f, beta2 = 0.999f, epsilon = 1e-8f, weight_decay = 0;
};

/// AdamW (https://arxiv.org/abs/1711.05101), as torch computes it, in float32: decay first, then both moments, corrected for
/// their beginning at zero. Value by value, so that neither threads nor instruction sets matter.
class AdamW {
 public:
  AdamW(size_t count, const AdamWOptions& options) : options_(options), first_(count), second_(count) {}

  void step(OpContext& context, std::span<float> values, std::span<const float> gradients, double learning_rate);

  const AdamWOptions& options() const { return options_; }
  /// Steps taken, and the moments: with the values all that a checkpoint needs.
  uint64_t steps() const { return steps_; }
  std::span<const float> first_moment() const { return first_; }
  std::span<const float> second_moment() const { return second_; }
  void restore(uint64_t steps, std::span<const float> first, std::span<const float> second);

 private:
  AdamWOptions options_;
  uint64_t steps_ = 0;
  std::vector<float> first_, second_;
};

/// The gradients' L2 norm, summed in double precision in a fixed order.
double gradient_norm(std::span<const float> gradients);

}  // namespace colophon
