#pragma once

// Attention for every instruction set; ops/attention.h defines the arithmetic, ops/reference/attention.cc spells it
// plainly, ops/attention_kernels.h says how the work is cut.

#include "ops/attention_kernels.h"
#include "ops/generic/tile.h"

namespace colophon::generic {
namespace {

template <size_t n>
struct Count {
  static constexpr size_t value = n;
};

/// body(Count<n>()) for n in 1..kQueryRows.
template <typename Body>
inline void with_count(size_t n, const Body& body) {
  static_assert(kQueryRows == 6);
  switch (n) {
    case 1: return body(Count<1>());
    case 2: return body(Count<2>());
    case 3: return body(Count<3>());
    case 4: return body(Count<4>());
    case 5: return body(Count<5>());
    default: return body(Count<6>());
  }
}
template <typename Type>
inline const typename Type::Element* keys_of(const AttentionTile& tile, size_t page) {
  return reinterpret_cast<const typename Type::Element*>(tile.keys + tile.pages[page] * tile.page_bytes);
}
template <typename Type>
inline const typename Type::Element* values_of(const AttentionTile& tile, size_t page) {
  return reinterpret_cast<const typename Type::Element*>(tile.values + tile.pages[page] * tile.page_bytes);
}
inline float* block_scores(const AttentionTile& tile, const AttentionScratch& scratch, size_t block, size_t page) {
  const size_t pages = tile.last_page - tile.first_page;
  return scratch.scores +
         (block * kQueryRows * pages + query_rows_of_block(tile, block) * (page - tile.first_page)) * kLanes;
}

// Decode reads each page once, a few KB here and a few there, which the CPU's own prefetchers do not follow. So while one
// page is worked on, the same place of the page kWidenedPages ahead is fetched.
template <typename Element>
struct Pages {
  const Element* at[kWidenedPages];
  const Element* ahead[kWidenedPages];  ///< what comes that much later; where nothing does, the page itself
};
constexpr size_t kLine = 64;

/// Scores of R query rows (q: [head_dim][R]) over P pages from `first` on: out[page][R][16].
template <typename V, typename Type, size_t R, size_t P>
inline void score_pages(const float* q, const Pages<typename Type::Element>& keys, size_t first, size_t head_dim,
                        float scale, float* out) {
  const typename Type::Element *pages[P], *ahead[P];
#pragma GCC unroll 4
  for (size_t p = 0; p < P; ++p) pages[p] = keys.at[first + p], ahead[p] = keys.ahead[first + p];
  Tile<V, R, P> tile;
  tile.clear();
  tile.template multiply_add<Type>(q, 1, R, pages, kLanes, head_dim, [&](size_t d) __attribute__((always_inline)) {
    constexpr size_t kSteps = kLine / (kLanes * sizeof(typename Type::Element));  // to a line
#pragma GCC unroll 4
    for (size_t p = 0; p < P; ++p) {
      if ((d + p) % kSteps == 0) __builtin_prefetch(ahead[p] + d * kLanes);
    }
  });
  const auto by = V::broadcast(scale);
#pragma GCC unroll 4
  for (size_t p = 0; p < P; ++p) {
#pragma GCC unroll 8
    for (size_t r = 0; r < R; ++r) V::store(out + (p * R + r) * kLanes, V::mul(tile.get(r, p), by));
  }
}

/// Scores of one block over pages whose keys are given.
template <typename V, typename Type, size_t R>
inline void score_block(const float* q, const Pages<typename Type::Element>& keys, size_t pages, size_t head_dim,
                        float scale, float* out) {
  constexpr size_t kBeside = groups_beside<V>(R);
  size_t page = 0;
  for (; page + kBeside <= pages; page += kBeside)
    score_pages<V, Type, R, kBeside>(q, keys, page, head_dim, scale, out + page * R * kLanes);
  for (; page < pages; ++page) score_pages<V, Type, R, 1>(q, keys, page, head_dim, scale, out + page * R * kLanes);
}

template <typename V, typename Type>
inline void scores(const AttentionTile& tile, const AttentionScratch& scratch, size_t first_page, size_t last_page) {
  const size_t blocks = query_blocks(tile);
  const size_t page_floats = tile.head_dim * kLanes;
  for (size_t page = first_page; page < last_page; page += kWidenedPages) {
    const size_t pages = last_page - page < kWidenedPages ? last_page - page : kWidenedPages;
    Pages<typename Type::Element> keys;
    for (size_t i = 0; i < pages; ++i) {
      const size_t later = page + i + kWidenedPages, value = tile.first_page + later - last_page;
      keys.at[i] = keys.ahead[i] = keys_of<Type>(tile, page + i);
      if (later < last_page) keys.ahead[i] = keys_of<Type>(tile, later);
      else if (value < tile.last_page) keys.ahead[i] = values_of<Type>(tile, value);  // the next step's first
    }
    const auto score = [&]<typename As>(As, const Pages<typename As::Element>& from) {
      for (size_t block = 0; block < blocks; ++block) {
        const float* q = scratch.q + block * kQueryRows * tile.head_dim;
        float* out = block_scores(tile, scratch, block, page);
        with_count(query_rows_of_block(tile, block), [&]<size_t R>(Count<R>) {
          score_block<V, As, R>(q, from, pages, tile.head_dim, tile.scale, out);
        });
      }
    };
    if (blocks > 1 && sizeof(typename Type::Element) == 2) {  // widened once for all blocks
      Pages<float> widened;
      for (size_t i = 0; i < pages; ++i) {
        float* to = scratch.page + i * page_floats;
        for (size_t at = 0; at < page_floats; at += kLanes) V::store(to + at, Type::template load<V>(keys.at[i] + at));
        widened.at[i] = widened.ahead[i] = to;
      }
      score(F32(), widened);
    } else {
      score(Type(), keys);
    }
  }
}

/// Turns the scores of a block into e^(score - max) in place, 0 where a row does not see, and sums them.
template <typename V>
inline void weights(const AttentionTile& tile, const AttentionScratch& scratch, size_t block) {
  const size_t rows = query_rows_of_block(tile, block);
  for (size_t r = 0; r < rows; ++r) {
    const size_t query_row = block * kQueryRows + r;
    const size_t first = first_seen(tile, query_row / tile.group), end = end_seen(tile, query_row / tile.group);
    const size_t first_page = first / kLanes, last_page = (end - 1) / kLanes;
    float* scores = block_scores(tile, scratch, block, first_page) + r * kLanes;
    const size_t stride = rows * kLanes;
    const auto unseen = V::broadcast(-__builtin_inff());
    // Lanes of a page at either end that the row does not see may hold anything.
    const auto seen = [&](size_t page, typename V::F32 value, typename V::F32 other) {
      const size_t from = page == first_page ? first % kLanes : 0;
      return V::keep(value, from, page == last_page ? (end - 1) % kLanes + 1 : kLanes, other);
    };
    const auto at = [&](size_t page) { return scores + (page - first_page) * stride; };
    auto max = V::max(seen(first_page, V::load(at(first_page)), unseen), unseen);
    for (size_t page = first_page + 1; page < last_page; ++page) max = V::max(V::load(at(page)), max);
    max = V::max(seen(last_page, V::load(at(last_page)), unseen), max);
    const auto shift = V::broadcast(V::reduce_max(max));
    auto sums = V::zero();
    const auto weigh_edge = [&](size_t page) {
      const auto weight = seen(page, simd::exp<V>(V::sub(V::load(at(page)), shift)), V::zero());
      V::store(at(page), weight);
      sums = V::add(sums, weight);
    };
    weigh_edge(first_page);
    for (size_t page = first_page + 1; page < last_page; ++page) {
      const auto weight = simd::exp<V>(V::sub(V::load(at(page)), shift));
      V::store(at(page), weight);
      sums = V::add(sums, weight);
    }
    if (last_page != first_page) weigh_edge(last_page);
    scratch.sums[query_row] = V::reduce_add(sums);
  }
}

/// out[R][16 * G] += the values of consecutive pages, weighed: positions first..end-1 of each (all but one page: 0..15).
/// weights: [pages][R of `block_rows`][16]; values: `values_stride` elements from one position of a page to the next.
template <typename V, typename Type, size_t R, size_t G>
inline void weigh_values(const float* weights, size_t block_rows, const Pages<typename Type::Element>& values,
                         size_t first_page, size_t pages, size_t column, size_t values_stride, size_t first,
                         size_t end, float* out, size_t out_stride) {
  Tile<V, R, G> tile;
#pragma GCC unroll 8
  for (size_t r = 0; r < R; ++r) {
#pragma GCC unroll 4
    for (size_t g = 0; g < G; ++g) tile.set(r, g, V::load(out + r * out_stride + g * kLanes));
  }
  for (size_t page = 0; page < pages; ++page) {
    const size_t offset = first * values_stride + column;
    const typename Type::Element* groups[G];
#pragma GCC unroll 4
    for (size_t g = 0; g < G; ++g) groups[g] = values.at[first_page + page] + offset + g * kLanes;
    const typename Type::Element* const ahead = values.ahead[first_page + page] + offset;
    tile.template multiply_add<Type>(weights + page * block_rows * kLanes + first, kLanes, 1, groups, values_stride,
                                     end - first, [&](size_t p) __attribute__((always_inline)) {
      constexpr size_t kLineElements = kLine / sizeof(typename Type::Element);
#pragma GCC unroll 4
      for (size_t i = 0; i < G * kLanes; i += kLineElements) __builtin_prefetch(ahead + p * values_stride + i);
    });
  }
#pragma GCC unroll 8
  for (size_t r = 0; r < R; ++r) {
#pragma GCC unroll 4
    for (size_t g = 0; g < G; ++g) V::store(out + r * out_stride + g * kLanes, tile.get(r, g));
  }
}
template <typename V, typename Type, size_t R>
inline void weigh_columns(const float* weights, size_t block_rows, const Pages<typename Type::Element>& values,
                          size_t first_page, size_t pages, size_t columns, size_t values_stride, size_t first,
                          size_t end, float* out, size_t out_stride) {
  constexpr size_t kBeside = groups_beside<V>(R);
  size_t column = 0;
  for (; column + kBeside * kLanes <= columns; column += kBeside * kLanes)
    weigh_values<V, Type, R, kBeside>(weights, block_rows, values, first_page, pages, column, values_stride, first,
                                      end, out + column, out_stride);
  for (; column < columns; column += kLanes)
    weigh_values<V, Type, R, 1>(weights, block_rows, values, first_page, pages, column, values_stride, first, end,
                                out + column, out_stride);
}

/// Adds what the rows of one block see of up to kWidenedPages pages from `page` on.
template <typename V, typename Type>
inline void weigh_block(const AttentionTile& tile, const AttentionScratch& scratch, size_t block, size_t page,
                        const Pages<typename Type::Element>& values, size_t pages, size_t columns, size_t values_stride,
                        float* out, size_t out_stride) {
  const size_t first_row = block * kQueryRows, rows = query_rows_of_block(tile, block);
  // What a row of the batch sees of a page, cut to its 16 positions. Of the block, the first row's sight ends first and
  // the last row's begins last.
  const auto first_of = [&](size_t query_row, size_t start) {
    const size_t first = first_seen(tile, query_row / tile.group);
    return first <= start ? 0 : first - start < kLanes ? first - start : kLanes;
  };
  const auto end_of = [&](size_t query_row, size_t start) {
    const size_t end = end_seen(tile, query_row / tile.group);
    return end <= start ? 0 : end - start < kLanes ? end - start : kLanes;
  };
  const size_t last_row = first_row + rows - 1;
  for (size_t i = 0; i < pages;) {
    const float* weights = block_scores(tile, scratch, block, page + i);
    size_t start = (page + i) * kLanes, whole = 0;
    while (i + whole < pages && first_of(last_row, start + whole * kLanes) == 0 &&
           end_of(first_row, start + whole * kLanes) == kLanes)
      ++whole;
    const size_t first = first_of(first_row, start), end = end_of(first_row, start);
    if (whole > 0 || (first == first_of(last_row, start) && end == end_of(last_row, start))) {
      const size_t count = whole > 0 ? whole : 1;
      if (first < end) {
        with_count(rows, [&]<size_t R>(Count<R>) {
          weigh_columns<V, Type, R>(weights, R, values, i, count, columns, values_stride, first, end, out, out_stride);
        });
      }
      i += count;
      continue;
    }
    for (size_t r = 0; r < rows; ++r) {
      const size_t row_first = first_of(first_row + r, start), row_end = end_of(first_row + r, start);
      if (row_first < row_end)
        weigh_columns<V, Type, 1>(weights + r * kLanes, rows, values, i, 1, columns, values_stride, row_first, row_end,
                                  out + r * out_stride, out_stride);
    }
    ++i;
  }
}

template <typename V, typename Type>
inline void values(const AttentionTile& tile, const AttentionScratch& scratch, size_t first_column, size_t last_column) {
  const size_t padded = (tile.head_dim + kLanes - 1) / kLanes * kLanes;
  const size_t blocks = query_blocks(tile), columns = last_column - first_column;
  float* const sums = scratch.out + first_column;
  for (size_t row = 0; row < query_rows(tile); ++row) {
    for (size_t column = 0; column < columns; column += kLanes) V::store(sums + row * padded + column, V::zero());
  }
  const bool whole_groups = padded == tile.head_dim;
  const bool widen = !whole_groups || (blocks > 1 && sizeof(typename Type::Element) == 2);  // once for all blocks
  for (size_t page = tile.first_page; page < tile.last_page; page += kWidenedPages) {
    const size_t pages = tile.last_page - page < kWidenedPages ? tile.last_page - page : kWidenedPages;
    Pages<typename Type::Element> from;
    Pages<float> widened;
    for (size_t i = 0; i < pages; ++i) {
      from.at[i] = from.ahead[i] = values_of<Type>(tile, page + i) + first_column;
      if (page + i + kWidenedPages < tile.last_page)
        from.ahead[i] = values_of<Type>(tile, page + i + kWidenedPages) + first_column;
      else if (tile.next != nullptr && tile.next->first_page + i < tile.next->last_page)
        from.ahead[i] = keys_of<Type>(*tile.next, tile.next->first_page + i) + first_column;
      if (!widen) continue;
      float* to = scratch.page + i * kLanes * padded;
      widened.at[i] = widened.ahead[i] = to;
      for (size_t p = 0; p < kLanes; ++p) {
        for (size_t column = 0; column < columns; column += kLanes) {
          const typename Type::Element* at = from.at[i] + p * tile.head_dim + column;
          if (whole_groups) {
            V::store(to + p * padded + column, Type::template load<V>(at));
          } else {
            for (size_t d = 0; d < kLanes; ++d)
              to[p * padded + column + d] = first_column + column + d < tile.head_dim ? Type::widen(at[d]) : 0;
          }
        }
      }
    }
    for (size_t block = 0; block < blocks; ++block) {
      float* out = sums + block * kQueryRows * padded;
      if (widen) weigh_block<V, F32>(tile, scratch, block, page, widened, pages, columns, padded, out, padded);
      else weigh_block<V, Type>(tile, scratch, block, page, from, pages, columns, tile.head_dim, out, padded);
    }
  }
  for (size_t query_row = 0; query_row < query_rows(tile); ++query_row) {
    const auto by = V::broadcast(scratch.sums[query_row]);
    float* out = tile.out + query_row / tile.group * tile.out_stride;
    out += query_row % tile.group * tile.head_dim + first_column;
    for (size_t column = 0; column < columns; column += kLanes) {
      const auto value = V::div(V::load(sums + query_row * padded + column), by);
      const size_t left = tile.head_dim - first_column - column;
      if (left >= kLanes) V::store(out + column, value);
      else V::store_partial(out + column, value, left);
    }
  }
}

template <typename V>
inline void kv_write_page(bool f16, uint8_t* page, size_t kv_heads, size_t head_dim, size_t lane, size_t count,
                          const float* k, size_t k_stride, const float* v, size_t v_stride) {
  const auto write = [&]<typename Element>(Element* keys) {
    Element* const values = keys + kv_heads * head_dim * kLanes;
    const auto narrow = [](const float* from, Element* to, size_t lanes) {
      const auto x = lanes == kLanes ? V::load(from) : V::load_partial(from, lanes);
      if constexpr (sizeof(Element) == 2) V::store_f16(to, x);
      else V::store(to, x);
    };
    for (size_t i = 0; i < count; ++i) {
      for (size_t head = 0; head < kv_heads; ++head) {
        Element* const value_row = values + (head * kLanes + lane + i) * head_dim;
        for (size_t d = 0; d < head_dim; d += kLanes) {
          const size_t lanes = head_dim - d < kLanes ? head_dim - d : kLanes;
          Element key[kLanes], value[kLanes];
          narrow(k + i * k_stride + head * head_dim + d, key, lanes);
          Element* const column = keys + (head * head_dim + d) * kLanes + lane + i;
          for (size_t j = 0; j < lanes; ++j) column[j * kLanes] = key[j];
          if (lanes == kLanes) {
            narrow(v + i * v_stride + head * head_dim + d, value_row + d, lanes);
          } else {
            narrow(v + i * v_stride + head * head_dim + d, value, lanes);
            for (size_t j = 0; j < lanes; ++j) value_row[d + j] = value[j];
          }
        }
      }
    }
  };
  if (f16) write(reinterpret_cast<uint16_t*>(page));
  else write(reinterpret_cast<float*>(page));
}

}  // namespace
}  // namespace colophon::generic
