#pragma once

#include "ops/matmul.h"

namespace colophon {

/// What one kernel call does at most, so that a's rows stay in the second-level cache and a panel of b in the first.
constexpr size_t kMatmulRows = 96, kMatmulDepth = 320, kMatmulLanes = 16;
/// Floats that a kernel packs one panel of b into.
constexpr size_t kMatmulScratch = kMatmulDepth * kMatmulLanes;

}  // namespace colophon

// call.m <= kMatmulRows. `scratch`: kMatmulScratch floats, aligned to 64.
#define COLOPHON_DECLARE(isa)                                  \
  namespace colophon::isa {                                    \
  void matmul_block(const MatmulCall& call, float* scratch);   \
  }
COLOPHON_DECLARE(reference)
COLOPHON_DECLARE(avx2)
COLOPHON_DECLARE(avx512)
#undef COLOPHON_DECLARE
