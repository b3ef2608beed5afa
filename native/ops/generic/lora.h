#pragma once

// Shrink and expand of float adapters (int8 ones: lora_int8.h) for every instruction set; ops/lora.h defines the arithmetic, ops/reference/lora.cc spells it
// plainly.
//
// Two regimes. Many rows share an adapter: tiles of rows times rank rows (shrink) or column groups (expand) stay in
// registers. A few rows to an adapter, the decode of many adapters: the time goes into reading A and B, so the loops
// follow memory and fetch what comes next.

#include "ops/generic/tile.h"
#include "ops/lora_kernels.h"

namespace colophon::generic {
namespace {

constexpr size_t kFewRows = 4;

inline size_t padded(size_t n) { return (n + kLanes - 1) / kLanes * kLanes; }

/// The weights that a worker reads next, some way ahead of the arithmetic. Adapters lie far apart and their matrices
/// are short: the CPU's own prefetchers would start anew at each.
class Ahead {
 public:
  Ahead(const LoraCall* calls, size_t count) : calls_(calls), matrices_(2 * count) {}

  /// Call `index` is next. The first time, and after calls that were not followed, the lead is taken anew.
  void begin(size_t index) {
    if (at_ != nullptr && matrix_ >= 2 * index) return;
    enter(2 * index);
    for (size_t i = 0; i < kLead; i += kLine) line();
  }
  /// `bytes` have been used up.
  [[gnu::always_inline]] void used(size_t bytes) {
    for (size_t i = 0; i + kLine <= bytes; i += kLine) line();
  }

 private:
  static constexpr size_t kLine = 64, kLead = 8192;

  [[gnu::always_inline]] void line() {
    __builtin_prefetch(at_);
    at_ += kLine;
    if (at_ >= end_) enter(matrix_ + 1);
  }
  void enter(size_t matrix) {
    if (matrix >= matrices_) {  // nothing more to come
      at_ -= kLine;
      return;
    }
    matrix_ = matrix;
    const LoraMatrix& m = *calls_[matrix / 2].matrix;
    const bool b = matrix % 2 != 0;
    at_ = static_cast<const char*>(b ? m.b_t : m.a);
    end_ = at_ + (b ? m.b_bytes() : m.a_bytes());
  }

  const LoraCall* calls_;
  size_t matrices_, matrix_ = 0;  ///< A and B of each call, in order
  const char *at_ = nullptr, *end_ = nullptr;
};
struct NothingAhead {
  void used(size_t) {}
};

/// h of R rows and J rank rows.
template <typename V, typename Type, size_t R, size_t J, typename Next>
inline void shrink_tile(const LoraCall& call, size_t row, size_t j, Next& ahead) {
  const LoraMatrix& m = *call.matrix;
  const size_t a_stride = padded(m.in), whole = m.in / kLanes * kLanes;
  const typename Type::Element* a = static_cast<const typename Type::Element*>(m.a) + j * a_stride;
  const float* x = call.x + row * call.x_stride;
  constexpr size_t kRegisters = V::kRegisters, kRegisterLanes = kLanes / kRegisters;
  constexpr size_t kStepBytes = J * kLanes * sizeof(typename Type::Element);
  typename V::Register sums[R][J][kRegisters];
#pragma GCC unroll 8
  for (size_t r = 0; r < R; ++r) {
#pragma GCC unroll 8
    for (size_t k = 0; k < J; ++k) {
#pragma GCC unroll 2
      for (size_t part = 0; part < kRegisters; ++part) sums[r][k][part] = V::register_zero();
    }
  }
  const auto step = [&](const float* xs, size_t x_stride, size_t i) __attribute__((always_inline)) {
#pragma GCC unroll 2
    for (size_t part = 0; part < kRegisters; ++part) {
      typename V::Register values[R];
#pragma GCC unroll 8
      for (size_t r = 0; r < R; ++r) {
        values[r] = V::register_load(xs + r * x_stride + part * kRegisterLanes);
        V::pin(values[r]);
      }
#pragma GCC unroll 8
      for (size_t k = 0; k < J; ++k) {
        const auto weights = Type::template load_register<V>(a + k * a_stride + i + part * kRegisterLanes);
#pragma GCC unroll 8
        for (size_t r = 0; r < R; ++r) sums[r][k][part] = V::register_fma(weights, values[r], sums[r][k][part]);
      }
    }
  };
  for (size_t i = 0; i < whole; i += kLanes) {
    step(x + i, call.x_stride, i);
    if constexpr (kStepBytes >= 64) ahead.used(kStepBytes);
  }
  if constexpr (kStepBytes < 64) ahead.used(J * a_stride * sizeof(typename Type::Element));
  if (whole < m.in) {  // zeros behind the last column
    float last[R * kLanes];
    for (size_t r = 0; r < R; ++r)
      V::store(last + r * kLanes, V::load_partial(x + r * call.x_stride + whole, m.in - whole));
    step(last, kLanes, whole);
  }
#pragma GCC unroll 8
  for (size_t r = 0; r < R; ++r) {
#pragma GCC unroll 8
    for (size_t k = 0; k < J; ++k)
      call.h[(row + r) * m.rank + j + k] = m.scaling * V::reduce_add(V::join(sums[r][k]));
  }
}
template <typename V, typename Type, size_t R, size_t J, typename Next>
inline void shrink_rows(const LoraPart& part, size_t row, Next& ahead) {
  size_t j = part.first;
  for (; j + J <= part.last; j += J) shrink_tile<V, Type, R, J>(*part.call, row, j, ahead);
  for (; j < part.last; ++j) shrink_tile<V, Type, R, 1>(*part.call, row, j, ahead);
}
template <typename V, typename Type>
inline void shrink(const LoraPart& part) {
  NothingAhead nothing;
  constexpr bool kWide = V::kAccumulators / V::kRegisters >= 16;
  constexpr size_t kRows = kWide ? 4 : 3, kRanks = kWide ? 4 : 2;
  size_t row = part.first_row;
  for (; row + kRows <= part.last_row; row += kRows) shrink_rows<V, Type, kRows, kRanks>(part, row, nothing);
  for (; row + 2 <= part.last_row; row += 2) shrink_rows<V, Type, 2, kRanks>(part, row, nothing);
  if (row < part.last_row) shrink_rows<V, Type, 1, 4>(part, row, nothing);
}

/// y = (y + delta) * magnitude for the columns from n on; `lanes` of them are there.
template <typename V>
inline void update(const LoraMatrix& m, float* y, size_t n, typename V::F32 delta) {
  const size_t lanes = m.out - n < kLanes ? m.out - n : kLanes;
  auto value = V::add(lanes == kLanes ? V::load(y + n) : V::load_partial(y + n, lanes), delta);
  if (m.magnitude != nullptr) value = V::mul(value, V::load(m.magnitude + n));
  if (lanes == kLanes) V::store(y + n, value);
  else V::store_partial(y + n, value, lanes);
}

/// R rows and G groups of sixteen columns from n on.
template <typename V, typename Type, size_t R, size_t G>
inline void expand_tile(const LoraCall& call, size_t row, size_t n) {
  const LoraMatrix& m = *call.matrix;
  const size_t b_stride = padded(m.out);
  const typename Type::Element* b = static_cast<const typename Type::Element*>(m.b_t) + n;
  const float* h = call.h + row * m.rank;
  const typename Type::Element* groups[G];
#pragma GCC unroll 4
  for (size_t g = 0; g < G; ++g) groups[g] = b + g * kLanes;
  Tile<V, R, G> delta;
  delta.clear();
  delta.template multiply_add<Type>(h, m.rank, 1, groups, b_stride, m.rank, [](size_t) {});
#pragma GCC unroll 8
  for (size_t r = 0; r < R; ++r) {
#pragma GCC unroll 4
    for (size_t g = 0; g < G; ++g) update<V>(m, call.y + (row + r) * call.y_stride, n + g * kLanes, delta.get(r, g));
  }
}
template <typename V, typename Type, size_t R>
inline void expand_rows(const LoraPart& part, size_t row) {
  constexpr size_t kBeside = groups_beside<V>(R);
  size_t n = part.first;
  for (; n + kBeside * kLanes <= part.last; n += kBeside * kLanes) expand_tile<V, Type, R, kBeside>(*part.call, row, n);
  for (; n < part.last; n += kLanes) expand_tile<V, Type, R, 1>(*part.call, row, n);
}

/// A few rows: rank rows are followed along memory, four at a time, with the deltas of a stretch of columns in the
/// first-level cache.
template <typename V, typename Type, size_t R, typename Next>
inline void expand_few(const LoraPart& part, size_t row, Next& ahead) {
  const LoraCall& call = *part.call;
  const LoraMatrix& m = *call.matrix;
  constexpr size_t kStretch = 2048;
  const size_t b_stride = padded(m.out), fours = m.rank / 4 * 4;
  const float* h = call.h + row * m.rank;
  float delta[R][kStretch];
  for (size_t from = part.first; from < part.last; from += kStretch) {
    const size_t columns = part.last - from < kStretch ? part.last - from : kStretch;
    const typename Type::Element* b = static_cast<const typename Type::Element*>(m.b_t) + from;
    for (size_t r = 0; r < R; ++r) {
      for (size_t i = 0; i < columns; i += kLanes) V::store(delta[r] + i, V::zero());
    }
    for (size_t j = 0; j < fours; j += 4) {
      const auto *b0 = b + j * b_stride, *b1 = b0 + b_stride, *b2 = b1 + b_stride, *b3 = b2 + b_stride;
      for (size_t i = 0; i < columns; i += kLanes) {
        const auto w0 = Type::template load<V>(b0 + i), w1 = Type::template load<V>(b1 + i);
        const auto w2 = Type::template load<V>(b2 + i), w3 = Type::template load<V>(b3 + i);
#pragma GCC unroll 4
        for (size_t r = 0; r < R; ++r) {
          const float* by = h + r * m.rank + j;
          auto d = V::load(delta[r] + i);
          d = V::fma(w0, V::broadcast(by[0]), d);
          d = V::fma(w1, V::broadcast(by[1]), d);
          d = V::fma(w2, V::broadcast(by[2]), d);
          d = V::fma(w3, V::broadcast(by[3]), d);
          V::store(delta[r] + i, d);
        }
        ahead.used(4 * kLanes * sizeof(typename Type::Element));
      }
    }
    for (size_t j = fours; j < m.rank; ++j) {
      for (size_t i = 0; i < columns; i += kLanes) {
        const auto weights = Type::template load<V>(b + j * b_stride + i);
#pragma GCC unroll 4
        for (size_t r = 0; r < R; ++r)
          V::store(delta[r] + i, V::fma(weights, V::broadcast(h[r * m.rank + j]), V::load(delta[r] + i)));
      }
    }
    for (size_t r = 0; r < R; ++r) {
      float* const y = call.y + (row + r) * call.y_stride;
      for (size_t i = 0; i < columns; i += kLanes) update<V>(m, y, from + i, V::load(delta[r] + i));
    }
  }
}

template <typename V, typename Type>
inline void expand(const LoraPart& part) {
  size_t row = part.first_row;
  for (; row + 6 <= part.last_row; row += 6) expand_rows<V, Type, 6>(part, row);
  switch (part.last_row - row) {
    case 5: expand_rows<V, Type, 3>(part, row); return expand_rows<V, Type, 2>(part, row + 3);
    case 4: return expand_rows<V, Type, 4>(part, row);
    case 3: return expand_rows<V, Type, 3>(part, row);
    case 2: return expand_rows<V, Type, 2>(part, row);
    case 1: {
      NothingAhead nothing;
      return expand_few<V, Type, 1>(part, row, nothing);
    }
    default: return;
  }
}

/// body(element type) for the type of a matrix.
template <typename Body>
inline void with_type(DType type, const Body& body) {
  switch (type) {
    case DType::f16: return body(F16());
    case DType::bf16: return body(BF16());
    default: return body(F32());
  }
}
template <typename V>
inline void lora_shrink(const LoraPart& part) {
  with_type(part.call->matrix->type, [&]<typename Type>(Type) { shrink<V, Type>(part); });
}
template <typename V>
inline void lora_expand(const LoraPart& part) {
  with_type(part.call->matrix->type, [&]<typename Type>(Type) { expand<V, Type>(part); });
}
template <typename V, typename Type, size_t R>
inline void few_rows(const LoraCall& call, Ahead& ahead) {
  constexpr bool kWide = V::kAccumulators / V::kRegisters >= 16;
  constexpr size_t kRanks = kWide || R == 1 ? 4 : R < 4 ? 2 : 1;
  shrink_rows<V, Type, R, kRanks>({&call, 0, R, 0, call.matrix->rank}, 0, ahead);
  expand_few<V, Type, R>({&call, 0, R, 0, call.matrix->out}, 0, ahead);
}
/// Shrink and expand of one call.
template <typename V>
inline void whole_floats(const LoraCall& call, Ahead& ahead) {
  with_type(call.matrix->type, [&]<typename Type>(Type) {
    switch (call.rows) {
      case 1: return few_rows<V, Type, 1>(call, ahead);
      case 2: return few_rows<V, Type, 2>(call, ahead);
      case 3: return few_rows<V, Type, 3>(call, ahead);
      case 4: return few_rows<V, Type, 4>(call, ahead);
      default:
        shrink<V, Type>({&call, 0, call.rows, 0, call.matrix->rank});
        expand<V, Type>({&call, 0, call.rows, 0, call.matrix->out});
    }
  });
}

}  // namespace
}  // namespace colophon::generic
