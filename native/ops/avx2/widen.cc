#include "ops/widen_kernels.h"

#if defined(__x86_64__)
#include "ops/generic/widen.h"

namespace colophon::avx2 {

void widen_group(const PackedMatrix::Layout& layout, size_t group, float* out) {
  generic::widen_group<simd::Avx2>(layout, group, out);
}

}  // namespace colophon::avx2
#endif
