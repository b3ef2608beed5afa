#pragma once

#include <cstddef>

#include "ops/lora.h"

namespace colophon {

/// A part of one call: rows first_row..last_row-1 and, of the matrix, rank rows (shrink) or columns of y (expand)
/// first..last-1. Expand's `first` is a multiple of 16.
struct LoraPart {
  const LoraCall* call;
  size_t first_row, last_row, first, last;
};

}  // namespace colophon

#define COLOPHON_DECLARE(isa)                                        \
  namespace colophon::isa {                                          \
  /* The rows of an int8 call in 16 bits, to its x_quants and x_units. */ \
  void lora_quantize_x(const LoraCall& call);                        \
  void lora_shrink(const LoraPart& part);                            \
  /* h of an int8 call in 16 bits, between shrink and expand. */     \
  void lora_quantize_h(const LoraCall& call);                        \
  void lora_expand(const LoraPart& part);                            \
  /* Each call from x to y, one after the other; neighbours of one x_quants have the same rows. */ \
  void lora_whole(const LoraCall* calls, size_t count);              \
  }
COLOPHON_DECLARE(reference)
COLOPHON_DECLARE(avx2)
COLOPHON_DECLARE(avx512)
#undef COLOPHON_DECLARE
