#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "ops/context.h"

namespace colophon {

constexpr size_t kPageTokens = 16;  ///< positions in a KV page: one register of lanes

enum class KvType { f16, f32 };

/// Where keys and values lie. The arena is an array of pages; a page holds 16 positions of every layer:
/// for each layer K as [kv_heads][head_dim][16] (positions across lanes) and then V as [kv_heads][16][head_dim].
struct KvLayout {
  KvType type;
  size_t layers, kv_heads, head_dim;
  uint8_t* arena;
  size_t element_bytes() const { return type == KvType::f16 ? 2 : 4; }
  size_t layer_bytes() const { return 2 * kv_heads * head_dim * kPageTokens * element_bytes(); }
  size_t page_bytes() const { return layers * layer_bytes(); }
  uint8_t* layer_of_page(uint32_t page, size_t layer) const {
    return arena + page * page_bytes() + layer * layer_bytes();
  }
};

/// Consecutive rows of a batch that are consecutive positions of one sequence.
struct AttentionRun {
  size_t first_row, rows;
  size_t first_position;   ///< of first_row; row i has position first_position + i
  const uint32_t* pages;   ///< the sequence's pages, covering positions 0 .. first_position + rows - 1
};

/// Writes k and v (each [rows][kv_heads * head_dim], strides given) of every run into their pages (f16: round to
/// nearest even).
void kv_write(OpContext& context, const KvLayout& kv, size_t layer, std::span<const AttentionRun> runs, const float* k,
              size_t k_stride, const float* v, size_t v_stride);

/// Causal grouped-query attention of every row over its own sequence, positions 0..its own (already written).
/// q: [rows][heads * head_dim], out the same shape (dense). `window` 0: none; else only the last `window` positions
/// (itself included).
///
/// One arithmetic: score[p] = (sum over d in order, fma(q[d], K[p][d], .), from 0) * scale; m = max; e[p] = exp(score - m);
/// s = 16 partial sums (lane = p % 16, pages in order), reduce_add; out[d] = (sum over p in order, fma(e[p], V[p][d], .),
/// from 0) / s. Pages wholly outside the window are skipped, positions outside it or in the future weigh exactly 0
/// and their memory (possibly never written) must not reach the result.
void attention(OpContext& context, const KvLayout& kv, size_t layer, std::span<const AttentionRun> runs, const float* q,
               size_t q_stride, size_t heads, float scale, size_t window, float* out, size_t out_stride);

}  // namespace colophon
