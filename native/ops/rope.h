#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "ops/context.h"

namespace colophon {

/// How rotary embedding's frequencies are stretched beyond the context that the base was trained on.
struct RopeScaling {
  enum class Kind { none, linear, llama3 } kind = Kind::none;
  double factor = 1, low_freq_factor = 1, high_freq_factor = 4, original_context = 8192;
};

/// Cosines and sines of every position's angles.
///
/// Rounded where transformers rounds, so that long positions agree with its float32 runs: the frequency is
/// 1 / float(base^(2i/rotary_dim)), its scaling is float32 arithmetic, the angle is float(position) * frequency in
/// float32; the cosine and sine of that float are computed in double precision (ops/math.h) and rounded once.
class RopeTable {
 public:
  /// `rotary_dim` (even) dimensions of each head turn; inverse frequency i is base^(-2i/rotary_dim), scaled, and divided by
  /// factors[i] where `factors` (rotary_dim / 2 of them: GGUF's rope_freqs) is not empty.
  RopeTable(size_t rotary_dim, double base, const RopeScaling& scaling, std::span<const float> factors,
            size_t max_positions);
  size_t rotary_dim() const { return rotary_dim_; }
  size_t max_positions() const { return max_positions_; }
  const float* cosines(size_t position) const { return cos_.data() + position * (rotary_dim_ / 2); }
  const float* sines(size_t position) const { return sin_.data() + position * (rotary_dim_ / 2); }

 private:
  size_t rotary_dim_, max_positions_;
  std::vector<float> cos_, sin_;
};

/// Rotates pairs (i, i + rotary_dim / 2) of each head (Hugging Face's order) in place.
/// x: [rows][stride], heads * head_dim used. new_a = fma(a, cos, -(b * sin)), new_b = fma(b, cos, a * sin).
void rope(OpContext& context, const RopeTable& table, float* x, size_t stride, size_t rows, size_t heads, size_t head_dim,
          const uint32_t* positions);

/// The way back, by the negative angle: what rope() makes of a gradient's other side.
void rope_back(OpContext& context, const RopeTable& table, float* x, size_t stride, size_t rows, size_t heads, size_t head_dim,
               const uint32_t* positions);

}  // namespace colophon
