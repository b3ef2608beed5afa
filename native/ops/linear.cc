#include "ops/linear.h"

#include <algorithm>
#include <atomic>
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

size_t token_block(size_t columns, bool quantized) {
  const size_t element_bytes = quantized ? 1 : sizeof(float);
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

/// The outliers of a batch's rows, made ready for the kernels block of tokens by block of tokens.
class OutlierPlan {
 public:
  void make(const QuantizedRows& x, size_t rows, size_t columns, size_t step) {
    outliers_.clear();
    end_.clear();
    columns_.clear();
    blocks_.clear();
    place_.resize(columns);
    for (size_t first = 0; first < rows; first += step) add(x.from(first, columns), std::min(step, rows - first), columns);
  }

  /// Of the tokens first .. first + step - 1 (first is a multiple of step).
  OutlierColumns block(size_t index) const {
    const Block& block = blocks_[index];
    return {columns_.data() + block.first_column, block.columns, outliers_.data() + block.first_outlier,
            end_.data() + block.first_token};
  }

 private:
  struct Block {
    size_t first_column, columns, first_outlier, first_token;
  };

  void add(const QuantizedRows& x, size_t tokens, size_t columns) {
    const Block block{columns_.size(), 0, outliers_.size(), end_.size()};
    for (size_t token = 0; token < tokens; ++token) {
      const Outlier* from = x.outliers + token * (columns / kOutlierRoom);
      outliers_.insert(outliers_.end(), from, from + x.outlier_count[token]);
      end_.push_back(static_cast<uint32_t>(outliers_.size() - block.first_outlier));
    }
    if (tokens == 1) {  // every outlier has a column of its own
      for (size_t i = block.first_outlier; i < outliers_.size(); ++i) {
        columns_.push_back(outliers_[i].column);
        outliers_[i].column = static_cast<uint32_t>(i - block.first_outlier);
      }
      blocks_.push_back({block.first_column, columns_.size() - block.first_column, block.first_outlier, block.first_token});
      return;
    }
    std::fill(place_.begin(), place_.end(), 0);
    for (size_t i = block.first_outlier; i < outliers_.size(); ++i) place_[outliers_[i].column] = 1;
    for (size_t column = 0; column < columns; ++column) {
      if (place_[column] == 0) continue;
      place_[column] = static_cast<uint32_t>(columns_.size() - block.first_column);
      columns_.push_back(static_cast<uint32_t>(column));
    }
    for (size_t i = block.first_outlier; i < outliers_.size(); ++i) outliers_[i].column = place_[outliers_[i].column];
    blocks_.push_back(block);
    blocks_.back().columns = columns_.size() - block.first_column;
  }

  std::vector<Outlier> outliers_;
  std::vector<uint32_t> end_, columns_, place_;
  std::vector<Block> blocks_;
};

/// Who works on which piece. Each thread has a run of consecutive pieces, so that it reads consecutive memory and what it
/// fetched ahead is what it reads next; when it is done, it helps the others.
class PieceRanges {
 public:
  explicit PieceRanges(size_t threads) : threads_(threads), ranges_(new Range[threads]) {}
  size_t threads() const { return threads_; }

  void divide(size_t pieces) {
    for (size_t i = 0; i < threads_; ++i) {
      ranges_[i].next.store(pieces * i / threads_, std::memory_order_relaxed);
      ranges_[i].end = pieces * (i + 1) / threads_;
    }
  }
  /// A piece that nobody has; called once for each piece.
  size_t take(size_t worker) {
    for (;; worker = (worker + 1) % threads_) {
      Range& range = ranges_[worker];
      if (range.next.load(std::memory_order_relaxed) >= range.end) continue;
      const size_t piece = range.next.fetch_add(1, std::memory_order_relaxed);
      if (piece < range.end) return piece;
    }
  }

 private:
  struct alignas(64) Range {
    std::atomic<size_t> next;
    size_t end;
  };
  size_t threads_;
  std::unique_ptr<Range[]> ranges_;
};

/// This thread's, for a pool of so many threads.
PieceRanges& piece_ranges(size_t threads) {
  thread_local std::unique_ptr<PieceRanges> ranges;
  if (!ranges || ranges->threads() != threads) ranges = std::make_unique<PieceRanges>(threads);
  return *ranges;
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

void run_groups(Isa isa, const LinearCall& call, const OutlierPlan& outliers, size_t first_group, size_t groups,
                size_t tokens) {
  const PackedMatrix::Layout& layout = call.weight->layout();
  const size_t columns = layout.columns;
  const QuantizedRows* quantized = call.weight->quantized() ? call.quantized_x : nullptr;
  const size_t step = token_block(columns, quantized != nullptr);
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
      task.quantized = quantized->from(token, columns);
      if (isa != Isa::reference) task.outliers = outliers.block(token / step);
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

  // The calls of a layer share their rows, so one plan serves them all; more are made where they do not.
  struct Piece {
    const LinearCall* call;
    const OutlierPlan* outliers;
    size_t first_group, groups;
  };
  thread_local std::vector<OutlierPlan> plans;
  if (plans.size() < calls.size()) plans.resize(calls.size());
  std::vector<Piece> pieces;
  for (size_t i = 0; i < calls.size(); ++i) {
    const LinearCall& call = calls[i];
    OutlierPlan* plan = &plans[0];
    if (call.quantized_x != nullptr && call.weight->quantized() && context.isa != Isa::reference) {
      size_t made = 0;
      while (made < i && (calls[made].quantized_x != call.quantized_x || !calls[made].weight->quantized())) ++made;
      plan = &plans[made];
      if (made == i) plan->make(*call.quantized_x, rows, call.weight->columns(), token_block(call.weight->columns(), true));
    }
    const PackedMatrix::Layout& layout = call.weight->layout();
    const size_t size = std::max<size_t>(task_bytes / layout.group_bytes, 1);
    for (size_t group = 0; group < layout.groups; group += size)
      pieces.push_back({&call, plan, group, std::min(size, layout.groups - group)});
  }
  PieceRanges& ranges = piece_ranges(context.pool.threads());
  ranges.divide(pieces.size());
  context.pool.parallel_for(pieces.size(), [&](size_t, size_t worker) {
    const Piece& piece = pieces[ranges.take(worker)];
    run_groups(context.isa, *piece.call, *piece.outliers, piece.first_group, piece.groups, rows);
  });
}

}  // namespace colophon
