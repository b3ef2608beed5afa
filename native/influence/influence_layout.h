#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace colophon {

constexpr uint32_t kMostBlockDims = 64;

/// What an influence index holds of each example. Its file: the header (influence_index.cc); rates; sizes of blocks; a state row of
/// each example; for each checkpoint a gradient row of each example; SHA-256 of all before it.
struct InfluenceLayout {
  uint32_t hidden = 0;
  uint32_t examples = 0;
  uint32_t dims = 0;            ///< of each projected block
  uint64_t seed = 0;            ///< of the projection
  bool preconditioned = false;  ///< gradients as AdamW scales them are there too
  std::vector<uint32_t> blocks; ///< values of each block before it was projected
  std::vector<double> rates;    ///< of each checkpoint: the learning rates of the steps that it stands for, summed

  size_t width() const { return blocks.size() * dims; }  ///< of a projected gradient
  size_t kinds() const { return preconditioned ? 2 : 1; }
  /// Loss of the base, float32; the state at length 1, [hidden] of float16. Rows are multiples of 4 bytes.
  size_t state_row_bytes() const { return 4 + (size_t{hidden} * 2 + 3) / 4 * 4; }
  /// Mean loss at the checkpoint, float32; then of each kind scales, [blocks] of float32, and values, [blocks][dims] of int8.
  size_t gradient_row_bytes() const { return 4 + kinds() * (blocks.size() * 4 + (width() + 3) / 4 * 4); }
  uint64_t row_bytes_of_example() const { return state_row_bytes() + rates.size() * gradient_row_bytes(); }
};

/// The most dims of a block, a multiple of 4 and at most kMostBlockDims, by which an example takes no more than `bytes`. Throws
/// Error(invalid_argument) where not even 4 do, saying how many bytes these take.
uint32_t dims_within(InfluenceLayout layout, uint64_t bytes);

/// Appends a row to bytes. A state of length 0 stays that. Throws Error(invalid_argument) for a gradient that is not finite.
void append_state_row(const InfluenceLayout& layout, float base_loss, std::span<const float> state, std::vector<uint8_t>& bytes);
/// `preconditioned` is empty where the layout has none. Each block is rounded to 127 steps of its largest value.
void append_gradient_row(const InfluenceLayout& layout, float loss, std::span<const float> gradient,
                         std::span<const float> preconditioned, std::vector<uint8_t>& bytes);

}  // namespace colophon
