#include "ops/linear.h"

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "engine/error.h"
#include "ops/linear_kernel.h"

namespace colophon {
namespace {

/// Quantised activations of a block of tokens stay within this, in the second-level cache (half a MiB on the
/// smallest CPUs we mean), while the rows of the weight go by.
constexpr size_t kTokenBlockBytes = 192 * 1024;
/// A multiple of every kernel's tile of tokens.
constexpr size_t kTokenTile = 24;

size_t token_block(size_t columns, size_t element_bytes) {
  return std::max(kTokenTile, kTokenBlockBytes / (columns * element_bytes) / kTokenTile * kTokenTile);
}

/// Memory that a thread's kernels work in, kept for the next call.
uint8_t* scratch(size_t bytes) {
  struct Free {
    void operator()(uint8_t* p) const { std::free(p); }
  };
  thread_local std::unique_ptr<uint8_t, Free> memory;
  thread_local size_t size = 0;
  if (size < bytes) {
    size = (bytes + 4095) / 4096 * 4096;
    memory.reset(static_cast<uint8_t*>(std::aligned_alloc(64, size)));
    if (!memory)
      std::abort();  // inside a parallel region nothing can be thrown; the size is bounded and small
  }
  return memory.get();
}

void run_kernel(Isa isa, const LinearTask& task) {
  switch (isa) {
    case Isa::reference:
      return linear_reference(task);
#if defined(__x86_64__)
    case Isa::avx2:
      return linear_avx2(task);
    case Isa::avx512:
      return linear_avx512(task);
#else
    default:
      return linear_reference(task);
#endif
  }
}

void run_groups(Isa isa, const LinearCall& call, size_t first_group, size_t groups, size_t tokens) {
  const PackedMatrix::Layout& layout = call.weight->layout();
  const size_t columns = layout.columns;
  const QuantizedRows* quantized = call.weight->quantized() ? call.quantized_x : nullptr;
  const size_t step = token_block(columns, quantized != nullptr ? 1 : sizeof(float));
  LinearTask task{};
  task.matrix = call.weight;
  task.weight = &layout;
  task.first_group = first_group;
  task.groups = groups;
  task.y_stride = call.y_stride;
  task.scratch = scratch(linear_scratch_bytes(std::min(step, tokens), columns));
  for (size_t token = 0; token < tokens; token += step) {
    task.tokens = std::min(step, tokens - token);
    task.x = call.x == nullptr ? nullptr : call.x + token * columns;
    if (quantized != nullptr) {
      task.q = quantized->q + token * columns;
      task.scale = quantized->scale + token * (columns / 32);
      task.weighted_sum = quantized->weighted_sum + token * (columns / 32);
    }
    task.y = call.y + token * call.y_stride;
    run_kernel(isa, task);
  }
}

}  // namespace

void linear(OpContext& context, std::span<const LinearCall> calls, size_t rows) {
  if (rows == 0 || calls.empty()) return;
  // Tasks are cut over all calls together, so that the threads end together; small enough to even out, large
  // enough that a task reads a long run of memory.
  constexpr size_t kTasksPerThread = 8;
  size_t bytes = 0;
  for (const LinearCall& call : calls) bytes += call.weight->bytes();
  const size_t task_bytes = std::max<size_t>(bytes / (context.pool.threads() * kTasksPerThread), 1);

  struct Piece {
    const LinearCall* call;
    size_t first_group, groups;
  };
  std::vector<Piece> pieces;
  for (const LinearCall& call : calls) {
    const PackedMatrix::Layout& layout = call.weight->layout();
    const size_t size = std::max<size_t>(task_bytes / layout.group_bytes, 1);
    for (size_t group = 0; group < layout.groups; group += size)
      pieces.push_back({&call, group, std::min(size, layout.groups - group)});
  }
  context.pool.parallel_for(pieces.size(), [&](size_t index, size_t) {
    const Piece& piece = pieces[index];
    run_groups(context.isa, *piece.call, piece.first_group, piece.groups, rows);
  });
}

}  // namespace colophon
