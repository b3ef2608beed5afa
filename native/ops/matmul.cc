#include "ops/matmul.h"

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <vector>

#include "ops/choose_kernel.h"
#include "ops/matmul_kernels.h"

namespace colophon {
namespace {

/// Columns of a task at most: a's rows, once fetched, serve many, and c's stay near.
constexpr size_t kTaskColumns = 768, kLeastTaskColumns = 128;
/// A multiple of every kernel's tile.
constexpr size_t kTileRows = 12;

constexpr size_t divided(size_t count, size_t by) { return (count + by - 1) / by; }

/// A product's pieces: rows and columns of one.
struct Pieces {
  size_t rows, columns;
};

/// As large as caches like, as small as it takes for all threads to end together, and about equal.
Pieces pieces_of(const MatmulCall& call, size_t threads) {
  const size_t high = divided(call.m, kMatmulRows);
  const size_t enough = std::min(divided(4 * threads, high), divided(call.n, kLeastTaskColumns));
  const size_t wide = std::max(divided(call.n, kTaskColumns), enough);
  return {divided(divided(call.m, high), kTileRows) * kTileRows, divided(divided(call.n, wide), kMatmulLanes) * kMatmulLanes};
}

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
MatmulCall part(const MatmulCall& call, size_t row, size_t column, Pieces pieces) {
  MatmulCall part = call;
  part.a += row * call.a_row;
  part.b += call.panel > 0 ? column / 16 * call.panel : column * call.b_step;  // columns begin at a panel
  part.c += row * call.c_row + column;
  part.m = std::min(pieces.rows, call.m - row);
  part.n = std::min(pieces.columns, call.n - column);
  return part;
}

}  // namespace

void matmul(OpContext& context, std::span<const MatmulCall> calls) {
  struct Task {
    const MatmulCall* call;
    size_t row, column;
    Pieces pieces;
  };
  const auto kernel = COLOPHON_KERNEL(context.isa, matmul_block);
  thread_local std::vector<Task> memory;
  memory.clear();
  for (const MatmulCall& call : calls) {
    if (call.m == 0 || call.n == 0) continue;
    const Pieces pieces = pieces_of(call, context.pool.threads());
    for (size_t row = 0; row < call.m; row += pieces.rows)
      for (size_t column = 0; column < call.n; column += pieces.columns) memory.push_back({&call, row, column, pieces});
  }
  const std::vector<Task>& tasks = memory;  // the caller's, not a worker's own
  context.pool.parallel_for(tasks.size(), [&](size_t i, size_t) {
    const Task& task = tasks[i];
    for (const MatmulCall* call = task.call; call != nullptr; call = call->then)
      kernel(part(*call, task.row, task.column, task.pieces), scratch());
  });
}

void matmul_here(Isa isa, const MatmulCall& call) {
  const auto kernel = COLOPHON_KERNEL(isa, matmul_block);
  for (size_t row = 0; row < call.m; row += kMatmulRows) kernel(part(call, row, 0, {kMatmulRows, call.n}), scratch());
}

}  // namespace colophon
