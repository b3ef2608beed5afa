#include "ops/widen_kernels.h"

#if defined(__x86_64__)
#include "ops/generic/widen.h"

namespace colophon::avx512 {

void widen_group(const PackedMatrix::Layout& layout, size_t group, float* out) {
  generic::widen_group<simd::Avx512>(layout, group, out);
}

}  // namespace colophon::avx512
#endif
