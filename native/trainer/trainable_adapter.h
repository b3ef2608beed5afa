#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "adapters/lora_adapter.h"

namespace colophon {

/// A module that is trained, and where its matrices begin among the adapter's values.
struct TrainableModule {
  AdaptedModule module;
  uint32_t in, out;
  size_t a, b;  ///< A: [rank][in], B: [rank][out], which PEFT has as [out][rank]; rows of the linear in Hugging Face's order
};

/// A LoRA as training sees it: all of its float32 values in one row, so that gradients, moments and checkpoints are rows of
/// the same length (https://arxiv.org/abs/2106.09685).
class TrainableAdapter {
 public:
  /// Values are zero. Throws Error(invalid_argument) for a module that the base does not have, one named twice, a rank of 0 or
  /// beyond the linear's sides, DoRA, or no module at all.
  TrainableAdapter(std::span<const AdaptedModule> modules, const AdapterBase& base);

  /// As PEFT begins: A uniform in +-1/sqrt(in) (Kaiming with a = sqrt(5)), B zero. The same values for the same seed everywhere.
  void initialise(uint64_t seed);

  std::span<const TrainableModule> modules() const { return modules_; }
  /// Null where the linear is left alone.
  const TrainableModule* find(size_t layer, Linear linear) const {
    const int32_t index = index_[layer * kLinearsPerLayer + static_cast<size_t>(linear)];
    return index < 0 ? nullptr : &modules_[static_cast<size_t>(index)];
  }
  /// The first layer that has a module.
  size_t first_layer() const { return first_layer_; }
  std::span<float> values() { return values_; }
  std::span<const float> values() const { return values_; }

 private:
  std::vector<TrainableModule> modules_;
  std::vector<int32_t> index_;  ///< [layers][kLinearsPerLayer], -1: none
  size_t first_layer_ = 0;
  std::vector<float> values_;
};

}  // namespace colophon
