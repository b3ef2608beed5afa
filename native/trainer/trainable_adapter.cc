#include "trainer/trainable_adapter.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "engine/error.h"
#include "trainer/counter_random.h"

namespace colophon {

TrainableAdapter::TrainableAdapter(std::span<const AdaptedModule> modules, const AdapterBase& base)
    : index_(base.layers * kLinearsPerLayer, -1) {
  const auto refuse = [](const AdaptedModule& module, const std::string& what) {
    throw Error(ErrorCode::invalid_argument,
                "layer " + std::to_string(module.layer) + ", " + module_path(module.linear) + ": " + what);
  };
  if (modules.empty()) throw Error(ErrorCode::invalid_argument, "no module is to be trained; name at least one");
  size_t size = 0;
  first_layer_ = base.layers;
  for (const AdaptedModule& module : modules) {
    if (module.layer >= base.layers) refuse(module, "the base has " + std::to_string(base.layers) + " layers");
    if (module.dora) refuse(module, "DoRA cannot be trained here");
    const LinearShape& shape = base.shapes[static_cast<size_t>(module.linear)];
    if (module.rank == 0 || module.rank > std::min(shape.in, shape.out))
      refuse(module, "its rank is " + std::to_string(module.rank) + ", which must be 1 to " +
                         std::to_string(std::min(shape.in, shape.out)));
    if (!std::isfinite(module.scaling)) refuse(module, "its scaling is not a number");
    int32_t& index = index_[module.layer * kLinearsPerLayer + static_cast<size_t>(module.linear)];
    if (index >= 0) refuse(module, "it is named twice");
    index = static_cast<int32_t>(modules_.size());
    const size_t a = size, b = a + size_t{module.rank} * shape.in;
    modules_.push_back({module, shape.in, shape.out, a, b});
    size = b + size_t{module.rank} * shape.out;
    first_layer_ = std::min<size_t>(first_layer_, module.layer);
  }
  values_.resize(size);
}

void TrainableAdapter::initialise(uint64_t seed) {
  std::fill(values_.begin(), values_.end(), 0.0f);
  for (const TrainableModule& module : modules_) {
    // By the module's place in the model, so that it begins alike whatever else is trained.
    const uint64_t key = random_bits(seed, module.module.layer * kLinearsPerLayer + static_cast<size_t>(module.module.linear));
    const double bound = 1.0 / std::sqrt(static_cast<double>(module.in));
    for (size_t i = 0; i < size_t{module.module.rank} * module.in; ++i) {
      const double unit = static_cast<double>(random_bits(key, i) >> 11) * 0x1.0p-53;  // [0, 1)
      values_[module.a + i] = static_cast<float>((2 * unit - 1) * bound);
    }
  }
}

}  // namespace colophon
