#include "ops/lora.h"

#include <algorithm>
#include <vector>

#include "ops/choose_kernel.h"
#include "ops/lora_kernels.h"

namespace colophon {
namespace {

constexpr size_t kLanes = 16;

size_t divide_up(size_t a, size_t b) { return (a + b - 1) / b; }

/// What a part of a call costs, in bytes read: those of the matrix once, and eight multiply-adds for the time of four
/// bytes (a core of 100 GFLOP/s reads about 12 GB/s).
size_t cost(size_t matrix_bytes, size_t multiply_adds) { return matrix_bytes + multiply_adds / 4; }
size_t shrink_cost(const LoraCall& call) {
  const LoraMatrix& m = *call.matrix;
  return cost(m.a_bytes(), call.rows * m.rank * m.in);
}
size_t expand_cost(const LoraCall& call) {
  const LoraMatrix& m = *call.matrix;
  return cost(m.b_bytes(), call.rows * m.rank * m.out);
}

/// Cuts rows x width (in units of `unit`) into about `pieces` parts: by rows while each keeps enough of them to
/// share what it reads of the matrix, then by width.
void cut(const LoraCall& call, size_t width, size_t unit, size_t pieces, std::vector<LoraPart>& parts) {
  constexpr size_t kRows = 24;
  const size_t by_rows = std::clamp<size_t>(call.rows / kRows, 1, pieces);
  const size_t by_width = std::clamp<size_t>(divide_up(pieces, by_rows), 1, divide_up(width, unit));
  const size_t rows = divide_up(divide_up(call.rows, by_rows), 12) * 12;
  const size_t step = divide_up(divide_up(width, by_width), unit) * unit;
  for (size_t row = 0; row < call.rows; row += rows) {
    for (size_t at = 0; at < width; at += step)
      parts.push_back({&call, row, std::min(row + rows, call.rows), at, std::min(at + step, width)});
  }
}

/// Activations in 16 bits for the int8 calls, in memory that is kept for the next call of lora(). Neighbours that read the
/// same rows (an adapter's q, k and v) share them.
class WideActivations {
 public:
  void make(OpContext& context, std::span<LoraCall> calls) {
    rows_.clear();
    size_t quants = 0, units = 0;
    for (const LoraCall& call : calls) {
      if (!call.matrix->int8() || (!rows_.empty() && rows_.back().serve(call))) continue;
      rows_.push_back({&call, quants, units});
      quants += call.rows * stride(call);
      units += call.rows;
    }
    if (rows_.empty()) return;
    if (quants_.size() < quants) quants_.resize(quants);
    if (units_.size() < units) units_.resize(units);
    const Rows* of = rows_.data();
    for (LoraCall& call : calls) {
      if (!call.matrix->int8()) continue;
      if (!of->serve(call)) ++of;
      call.x_quants = quants_.data() + of->first_quant;
      call.x_units = units_.data() + of->first_unit;
    }

    const auto quantize = COLOPHON_KERNEL(context.isa, lora_quantize);
    const auto run = [&](size_t row, size_t) {
      const auto above = std::upper_bound(rows_.begin(), rows_.end(), row,
                                          [](size_t unit, const Rows& rows) { return unit < rows.first_unit; });
      const Rows& rows = *std::prev(above);
      const LoraCall& call = *rows.call;
      const size_t at = row - rows.first_unit;
      units_[row] =
          quantize(call.x + at * call.x_stride, call.matrix->in, quants_.data() + rows.first_quant + at * stride(call));
    };
    // A region of its own takes as long as some rows.
    constexpr size_t kRowsWorthRegion = 8;
    if (units > kRowsWorthRegion) return context.pool.parallel_for(units, run);
    for (size_t row = 0; row < units; ++row) run(row, 0);
  }

 private:
  struct Rows {
    const LoraCall* call;
    size_t first_quant, first_unit;
    bool serve(const LoraCall& other) const {
      return call->x == other.x && call->rows == other.rows && call->matrix->in == other.matrix->in;
    }
  };
  static size_t stride(const LoraCall& call) { return LoraMatrix::int8_a_bytes(1, call.matrix->in); }

  std::vector<Rows> rows_;
  std::vector<int16_t> quants_;
  std::vector<float> units_;
};

}  // namespace

void lora(OpContext& context, std::span<const LoraCall> of_caller) {
  static thread_local std::vector<LoraCall> calls;
  static thread_local WideActivations wide;
  calls.assign(of_caller.begin(), of_caller.end());
  wide.make(context, calls);
  const auto shrink = COLOPHON_KERNEL(context.isa, lora_shrink);
  const auto expand = COLOPHON_KERNEL(context.isa, lora_expand);
  const auto apply_whole = COLOPHON_KERNEL(context.isa, lora_whole);
  const size_t threads = context.pool.threads();

  // A call that is a small share of the work is done whole, shrink and expand, and needs no second region; such calls
  // go to a worker several at a time. Larger calls are cut: shrink in the first region, beside the small ones, expand
  // in the second.
  size_t total = 0;
  for (const LoraCall& call : calls) total += shrink_cost(call) + expand_cost(call);
  const size_t share = std::max<size_t>(total / (4 * threads), 1);
  const size_t bundle = threads == 1 ? SIZE_MAX : std::max<size_t>(total / (8 * threads), 48 << 10);
  static thread_local std::vector<LoraPart> shrinks, expands;
  static thread_local std::vector<const LoraCall*> whole;
  static thread_local std::vector<size_t> bundles;  // where each begins in `whole`, and the end of the last
  shrinks.clear();
  expands.clear();
  whole.clear();
  bundles.clear();
  size_t filled = SIZE_MAX;
  for (const LoraCall& call : calls) {
    const LoraMatrix& m = *call.matrix;
    if (call.rows == 0) continue;
    const size_t cost = shrink_cost(call) + expand_cost(call);
    if (threads == 1 || cost <= share) {
      if (filled >= bundle) {
        bundles.push_back(whole.size());
        filled = 0;
      }
      whole.push_back(&call);
      filled += cost;
      continue;
    }
    cut(call, m.rank, 4, divide_up(shrink_cost(call), share), shrinks);
    cut(call, m.out, 4 * kLanes, divide_up(expand_cost(call), share), expands);
  }
  const size_t bundle_count = bundles.size();
  bundles.push_back(whole.size());
  // This thread's own, also where a worker runs the task.
  const LoraPart *const shrink_parts = shrinks.data(), *const expand_parts = expands.data();
  const LoraCall* const* const whole_calls = whole.data();
  const size_t* const begins = bundles.data();
  const size_t shrink_count = shrinks.size();
  context.pool.parallel_for(shrink_count + bundle_count, [&](size_t task, size_t) {
    if (task < shrink_count) return shrink(shrink_parts[task]);
    const size_t at = task - shrink_count;
    apply_whole(whole_calls + begins[at], begins[at + 1] - begins[at]);
  });
  const LoraCall* quantized = nullptr;
  for (const LoraPart& part : expands) {
    if (part.call != quantized && part.call->matrix->int8()) COLOPHON_KERNEL(context.isa, lora_quantize_h)(*part.call);
    quantized = part.call;
  }
  context.pool.parallel_for(expands.size(), [&](size_t task, size_t) { expand(expand_parts[task]); });
}

}  // namespace colophon
