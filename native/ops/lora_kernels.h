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
  /* One row in 16 bits, [round_up(columns, 32)]; returns its unit. */ \
  float lora_quantize(const float* x, size_t columns, int16_t* q);   \
  void lora_shrink(const LoraPart& part);                            \
  /* h of an int8 call in 16 bits, between shrink and expand. */     \
  void lora_quantize_h(const LoraCall& call);                        \
  void lora_expand(const LoraPart& part);                            \
  /* Shrink and expand of each call, one after the other. */         \
  void lora_whole(const LoraCall* const* calls, size_t count);       \
  }
COLOPHON_DECLARE(reference)
COLOPHON_DECLARE(avx2)
COLOPHON_DECLARE(avx512)
#undef COLOPHON_DECLARE
