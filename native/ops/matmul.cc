#include "ops/matmul.h"

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <vector>

#include "ops/choose_kernel.h"
#include "ops/matmul_kernels.h"

namespace colophon {
namespace {

/// Columns of a task: enough that a's rows, once fetched, serve many. Fewer where there are few rows to share out.
constexpr size_t kTaskColumns = 768, kTaskColumnsOfFewRows = 256;

float* scratch() {
  struct Free {
    void operator()(float* p) const { std::free(p); }
  };
  thread_local const std::unique_ptr<float, Free> memory(
      static_cast<float*>(std::aligned_alloc(64, kMatmulScratch * sizeof(float))));
  if (!memory) std::abort();  // inside a parallel region nothing can be thrown; the size is fixed and small
  return memory.get();
}

/// The part of a product that gives c's rows from `row` on and columns from `column` on.
MatmulCall part(const MatmulCall& call, size_t row, size_t column, size_t columns) {
  MatmulCall part = call;
  part.a += row * call.a_row;
  part.b += call.panel > 0 ? column / 16 * call.panel : column * call.b_step;  // columns begin at a panel
  part.c += row * call.c_row + column;
  part.m = std::min(kMatmulRows, call.m - row);
  part.n = std::min(columns, call.n - column);
  return part;
}

}  // namespace

void matmul(OpContext& context, std::span<const MatmulCall> calls) {
  const auto kernel = COLOPHON_KERNEL(context.isa, matmul_block);
  thread_local std::vector<MatmulCall> parts;
  parts.clear();
  for (const MatmulCall& call : calls) {
    const size_t columns = call.m > 2 * kMatmulRows ? kTaskColumns : kTaskColumnsOfFewRows;
    for (size_t row = 0; row < call.m; row += kMatmulRows)
      for (size_t column = 0; column < call.n; column += columns) parts.push_back(part(call, row, column, columns));
  }
  const std::vector<MatmulCall>& all = parts;  // the caller's, not a worker's own
  context.pool.parallel_for(all.size(), [&](size_t task, size_t) { kernel(all[task], scratch()); });
}

void matmul_here(Isa isa, const MatmulCall& call) {
  const auto kernel = COLOPHON_KERNEL(isa, matmul_block);
  for (size_t row = 0; row < call.m; row += kMatmulRows) kernel(part(call, row, 0, call.n), scratch());
}

}  // namespace colophon
