#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "ops/dtype.h"

namespace colophon {

/// A tensor inside a memory-mapped file; valid as long as the file object lives. GGUF aligns `data` (to 32
/// bytes unless the file says otherwise, at least 8); safetensors promises nothing, so read its elements with
/// memcpy or unaligned loads.
struct Tensor {
  std::string name;
  DType type;
  std::vector<uint64_t> shape;  ///< outermost first, e.g. [rows, columns] (GGUF's own order reversed)
  const uint8_t* data = nullptr;
  size_t bytes = 0;

  /// "[49152, 576]", for messages.
  std::string shape_text() const;
};

}  // namespace colophon
