#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "adapters/lora_tensor_name.h"
#include "model/hyperparameters.h"
#include "ops/lora.h"

namespace colophon {

/// One linear that an adapter changes, as its adapter_config.json resolves it (the gateway reads the JSON and
/// its patterns; the engine only knows the result).
struct AdaptedModule {
  uint32_t layer;
  Linear linear;
  uint32_t rank;
  float scaling;  ///< alpha / r, or alpha / sqrt(r)
  bool dora;
};

/// A module and where its parts lie in the adapter's one allocation. The places follow from the other fields, in the order
/// of the modules, and are the same for every instruction set.
struct PlacedModule {
  AdaptedModule module;
  uint32_t in, out;
  DType type = DType::f32;  ///< of A and B in memory, unless they are int8
  std::array<size_t, kLoraParts> offsets{};
  size_t scale_offset = 0;  ///< of int8 matrices
};

/// An adapter's allocation, aligned to a cache line, which is an AVX-512 register too.
struct FreeAdapter {
  size_t mapped_bytes = 0;  ///< of memory from mmap; 0: from malloc
  void operator()(uint8_t* storage) const;
};
using AdapterStorage = std::unique_ptr<uint8_t[], FreeAdapter>;
/// `bytes` as placing gave them, of zeros with `clear`; null where there is no memory.
AdapterStorage allocate_adapter(size_t bytes, bool clear);

/// Gives a module its places behind the first `bytes` of the allocation, and returns the bytes with it.
size_t place_module(PlacedModule& placed, bool int8, size_t bytes);

/// The module's matrices in `storage`.
LoraMatrix matrix_at(const PlacedModule& placed, bool int8, const uint8_t* storage);

}  // namespace colophon
