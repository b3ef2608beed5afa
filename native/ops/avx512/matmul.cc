#include "ops/matmul_kernels.h"

#if defined(__x86_64__)
#include "ops/generic/matmul.h"

namespace colophon::avx512 {

void matmul_block(const MatmulCall& call, float* scratch) { generic::matmul_block<simd::Avx512>(call, scratch); }

}  // namespace colophon::avx512
#endif
