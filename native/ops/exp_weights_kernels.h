#pragma once

#include <cstddef>

#define COLOPHON_DECLARE(isa) \
  namespace colophon::isa {   \
  void exp_weights(const float* x, size_t n, float shift, float inverse_temperature, float* out); \
  }
COLOPHON_DECLARE(reference)
COLOPHON_DECLARE(avx2)
COLOPHON_DECLARE(avx512)
#undef COLOPHON_DECLARE
