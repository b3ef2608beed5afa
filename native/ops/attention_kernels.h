#pragma once

#include <cstddef>
#include <cstdint>

namespace colophon {

/// Query rows that a kernel keeps in registers at once (six rows of sixteen lanes fill AVX2's registers).
constexpr size_t kQueryRows = 6;

/// What one task attends: consecutive rows of a run with the query heads that share one KV head. A "query row" is
/// one head of one row: number row * group + head. They are worked on in blocks of kQueryRows (the last may be shorter).
struct AttentionTile {
  bool f16;                              ///< of the cache; else f32
  const uint8_t *keys, *values;          ///< this layer's and KV head's place in page 0 of the arena
  size_t page_bytes;                     ///< from one page of the arena to the next
  const uint32_t* pages;                 ///< of the sequence
  size_t head_dim, group;                ///< group: query heads of a KV head
  size_t rows, first_position, window;   ///< window: positions that a row sees, at least 1
  float scale;
  const float* q;                        ///< the first row's first head of the group; heads are dense
  size_t q_stride;
  float* out;
  size_t out_stride;
  size_t first_page, last_page;          ///< pages that any of the rows sees
  const AttentionTile* next;             ///< what the same worker attends next, or null: its first pages are fetched
};

/// Memory of one tile while it is worked on.
struct AttentionScratch {
  float* q;       ///< [blocks][head_dim][query rows of the block]
  float* scores;  ///< [blocks][last_page - first_page][query rows of the block][16]
  float* sums;    ///< [query rows]
  float* out;     ///< [query rows][head_dim rounded up to 16]
  float* page;    ///< kWidenedPages pages of a KV head in float32, rows rounded up to 16; one task's alone
};
constexpr size_t kWidenedPages = 4;

// Unnamed for the reason given in simd.h.
namespace {

inline size_t query_rows(const AttentionTile& tile) { return tile.rows * tile.group; }
inline size_t query_blocks(const AttentionTile& tile) { return (query_rows(tile) + kQueryRows - 1) / kQueryRows; }
inline size_t query_rows_of_block(const AttentionTile& tile, size_t block) {
  const size_t left = query_rows(tile) - block * kQueryRows;
  return left < kQueryRows ? left : kQueryRows;
}
/// Row `row` of the tile sees the positions [first_seen, end_seen).
inline size_t end_seen(const AttentionTile& tile, size_t row) { return tile.first_position + row + 1; }
inline size_t first_seen(const AttentionTile& tile, size_t row) {
  const size_t end = end_seen(tile, row);
  return end > tile.window ? end - tile.window : 0;
}

}  // namespace

}  // namespace colophon

// A tile is worked on in three steps; the work of each may be cut further, for few tiles on many threads: scores by
// pages, weights (the softmax) by blocks, values by columns (multiples of 16).
#define COLOPHON_DECLARE(isa)                                                                                          \
  namespace colophon::isa {                                                                                            \
  void attention_scores(const AttentionTile& tile, const AttentionScratch& scratch, size_t first_page,                 \
                        size_t last_page);                                                                             \
  void attention_weights(const AttentionTile& tile, const AttentionScratch& scratch, size_t block);                    \
  void attention_values(const AttentionTile& tile, const AttentionScratch& scratch, size_t first, size_t last);        \
  /* Writes `count` positions from `lane` on into one layer of one page: K [kv_heads][head_dim][16], then V. */        \
  void kv_write_page(bool f16, uint8_t* page, size_t kv_heads, size_t head_dim, size_t lane, size_t count,             \
                     const float* k, size_t k_stride, const float* v, size_t v_stride);                                \
  }
COLOPHON_DECLARE(avx2)
COLOPHON_DECLARE(avx512)
#undef COLOPHON_DECLARE

namespace colophon::reference {
/// A whole tile; `scores` holds the weights of one query row, a float for each position up to its own.
void attention(const AttentionTile& tile, float* scores);
void kv_write_page(bool f16, uint8_t* page, size_t kv_heads, size_t head_dim, size_t lane, size_t count, const float* k,
                   size_t k_stride, const float* v, size_t v_stride);
}  // namespace colophon::reference
