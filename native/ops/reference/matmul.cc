#include <cmath>

#include "ops/matmul_kernels.h"

namespace colophon::reference {

void matmul_block(const MatmulCall& call, float*) {
  for (size_t i = 0; i < call.m; ++i) {
    for (size_t n = 0; n < call.n; ++n) {
      float& c = call.c[i * call.c_row + n];
      float acc = call.accumulate ? c : 0;
      for (size_t j = 0; j < call.k; ++j)
        acc = std::fma(call.a[i * call.a_row + j * call.a_step], call.b_at(j, n), acc);
      c = acc;
    }
  }
}

}  // namespace colophon::reference
