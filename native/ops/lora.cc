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

/// `rows` rows of a call from `first` on.
LoraCall rows_of(const LoraCall& call, size_t first, size_t rows) {
  LoraCall part = call;
  part.x += first * call.x_stride;
  part.y += first * call.y_stride;
  part.h += LoraCall::scratch_floats(*call.matrix, first);
  part.rows = rows;
  return part;
}

/// Cuts `width`, in units of `unit`, into about `pieces` parts of a call's rows.
void cut(const LoraCall& call, size_t width, size_t unit, size_t pieces, std::vector<LoraPart>& parts) {
  const size_t count = std::clamp<size_t>(pieces, 1, divide_up(width, unit));
  const size_t step = divide_up(divide_up(width, count), unit) * unit;
  for (size_t at = 0; at < width; at += step) parts.push_back({&call, 0, call.rows, at, std::min(at + step, width)});
}

/// Who does what of one lora(). A region that all workers enter costs as much as some rows, so nearly everything is done in
/// one: the calls of a group, which read the same rows (an adapter's q, k and v), are split by rows, and a worker takes such
/// a piece whole, from x in 16 bits to y; small pieces go to it several at a time. Only where a few rows meet a matrix that
/// is large for one worker, shrink and expand are cut by width, in a region each.
class Plan {
 public:
  std::vector<LoraCall> whole;
  std::vector<size_t> bundles;  ///< where each begins in `whole`, and the end of the last
  std::vector<LoraCall> large;
  std::vector<LoraPart> shrinks, expands;  ///< of `large`

  void make(std::span<const LoraCall> calls, size_t threads) {
    whole.clear();
    bundles.clear();
    large.clear();
    shrinks.clear();
    expands.clear();
    size_t total = 0, quants = 0, units = 0;
    for (const LoraCall& call : calls) {
      total += shrink_cost(call) + expand_cost(call);
      quants += call.rows * stride(call);
      units += call.rows;
    }
    if (quants_.size() < quants) quants_.resize(quants);
    if (units_.size() < units) units_.resize(units);
    next_quant_ = quants_.data();
    next_unit_ = units_.data();
    const size_t share = threads == 1 ? SIZE_MAX : std::max<size_t>(total / (4 * threads), 1);
    const size_t bundle = threads == 1 ? SIZE_MAX : std::max<size_t>(total / (8 * threads), kBundle);
    filled_ = SIZE_MAX;
    for (size_t first = 0; first < calls.size();) {
      size_t last = first + 1;
      while (last < calls.size() && same_rows(calls[first], calls[last])) ++last;
      const std::span<const LoraCall> group = calls.subspan(first, last - first);
      size_t cost = 0;
      for (const LoraCall& call : group) cost += shrink_cost(call) + expand_cost(call);
      const size_t all = group[0].rows;
      const size_t pieces = std::clamp<size_t>(divide_up(cost, share), 1, std::max<size_t>(all / kRows, 1));
      const size_t rows = divide_up(divide_up(all, pieces), kTileRows) * kTileRows;
      for (size_t row = 0; row < all; row += rows) {
        for (const LoraCall& call : group) place(rows_of(call, row, std::min(rows, all - row)), share, bundle);
      }
      first = last;
    }
    bundles.push_back(whole.size());
    for (const LoraCall& call : large) {
      cut(call, call.matrix->rank, 4, divide_up(shrink_cost(call), share), shrinks);
      cut(call, call.matrix->out, 4 * kLanes, divide_up(expand_cost(call), share), expands);
    }
  }

 private:
  static constexpr size_t kRows = 8;         ///< enough to share what is read of the matrix
  static constexpr size_t kTileRows = 12;    ///< the kernels' tiles have 2, 3, 4 or 6
  static constexpr size_t kBundle = 48 << 10, kLarge = 64 << 10;  ///< costs that one task, and two regions, are worth

  static bool same_rows(const LoraCall& a, const LoraCall& b) {
    return a.x == b.x && a.rows == b.rows && a.matrix->in == b.matrix->in;
  }
  static size_t stride(const LoraCall& call) { return LoraMatrix::int8_a_bytes(1, call.matrix->in); }

  void place(LoraCall call, size_t share, size_t bundle) {
    const size_t cost = shrink_cost(call) + expand_cost(call);
    if (cost > share && cost > kLarge && call.rows < 2 * kTileRows) {
      give_memory(call);
      large.push_back(call);
      return;
    }
    const bool begins = filled_ >= bundle;
    if (begins) {
      bundles.push_back(whole.size());
      filled_ = 0;
    }
    filled_ += cost;
    if (!begins && whole.back().x_quants != nullptr && call.matrix->int8() && same_rows(whole.back(), call)) {
      call.x_quants = whole.back().x_quants;
      call.x_units = whole.back().x_units;
    } else {
      give_memory(call);
    }
    whole.push_back(call);
  }

  /// Memory for x in 16 bits. Neighbours that read the same rows share it, but not with another worker's.
  void give_memory(LoraCall& call) {
    if (!call.matrix->int8()) return;
    call.x_quants = next_quant_;
    call.x_units = next_unit_;
    next_quant_ += call.rows * stride(call);
    next_unit_ += call.rows;
  }

  size_t filled_ = 0;  ///< cost of the last bundle
  std::vector<int16_t> quants_;
  std::vector<float> units_;
  int16_t* next_quant_ = nullptr;
  float* next_unit_ = nullptr;
};

}  // namespace

void lora(OpContext& context, std::span<const LoraCall> calls) {
  static thread_local Plan of_thread;  // its memory is kept for the next call
  Plan& plan = of_thread;              // this thread's, also where a worker runs the task
  plan.make(calls, context.pool.threads());
  const auto quantize_x = COLOPHON_KERNEL(context.isa, lora_quantize_x);
  const auto shrink = COLOPHON_KERNEL(context.isa, lora_shrink);
  const auto expand = COLOPHON_KERNEL(context.isa, lora_expand);
  const auto apply_whole = COLOPHON_KERNEL(context.isa, lora_whole);

  context.pool.parallel_for(plan.large.size(), [&](size_t i, size_t) {
    if (plan.large[i].matrix->int8()) quantize_x(plan.large[i]);
  });
  const size_t shrinks = plan.shrinks.size();
  context.pool.parallel_for(shrinks + plan.bundles.size() - 1, [&](size_t task, size_t) {
    if (task < shrinks) return shrink(plan.shrinks[task]);
    const size_t begin = plan.bundles[task - shrinks], end = plan.bundles[task - shrinks + 1];
    apply_whole(&plan.whole[begin], end - begin);
  });
  for (const LoraCall& call : plan.large) {
    if (call.matrix->int8()) COLOPHON_KERNEL(context.isa, lora_quantize_h)(call);
  }
  context.pool.parallel_for(plan.expands.size(), [&](size_t task, size_t) { expand(plan.expands[task]); });
}

}  // namespace colophon
