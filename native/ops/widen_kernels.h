#pragma once

#include "ops/packed_layout.h"

// widen_group: out[columns][16], the rows of one group (ops/widen.h).
#define COLOPHON_DECLARE(isa)                                                                 \
  namespace colophon::isa {                                                                   \
  void widen_group(const PackedMatrix::Layout& layout, size_t group, float* out);             \
  }
COLOPHON_DECLARE(reference)
COLOPHON_DECLARE(avx2)
COLOPHON_DECLARE(avx512)
#undef COLOPHON_DECLARE
