#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "trainer/trainable_adapter.h"

namespace colophon {

/// Gradients of an adapter made short: each block, that is each lora_A and lora_B, becomes `dims` values of its own by a count sketch:
/// every value is added, with a sign, to one of them; place and sign are functions of (seed, block, value). Inner products are kept in the
/// mean, with the variance of a dense projection on random signs, at one addition a value (Charikar, Chen and Farach-Colton 2002;
/// https://arxiv.org/abs/0902.2206). A block of no more values than `dims` is kept as it is.
class BlockProjection {
 public:
  struct Block {
    size_t first, count;  ///< among the adapter's values
    uint64_t key;         ///< by the block's place in the model, so that it is projected alike whatever else is trained
  };

  /// In the order of the modules, A before B.
  BlockProjection(std::span<const TrainableModule> modules, uint32_t dims, uint64_t seed);

  std::span<const Block> blocks() const { return blocks_; }
  /// Values of a projected row: [blocks][dims].
  size_t width() const { return blocks_.size() * dims_; }
  /// Sums in double precision, in the order of the values.
  void project(std::span<const float> values, std::span<float> out) const;

 private:
  uint32_t dims_;
  std::vector<Block> blocks_;
};

}  // namespace colophon
