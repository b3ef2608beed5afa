#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>

#include "ops/lora.h"

namespace colophon {

/// Turns DoRA's magnitudes m[out] (`magnitude`, in place) into what the kernels multiply with: m[n] / ||W[n]
/// + scaling * (B A)[n]||_2. `weight_row(n, out)` writes row n of W. Computed in double precision in one
/// fixed order of additions, so that every machine gets the same bits. Returns the first row whose result is
/// no finite number (its norm is 0), or `out`.
size_t apply_dora_norms(const LoraMatrix& matrix,
                        const std::function<void(size_t row, float* out)>& weight_row, float* magnitude);

}  // namespace colophon
