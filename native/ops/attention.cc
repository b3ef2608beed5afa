#include "ops/attention.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "ops/attention_kernels.h"
#include "ops/choose_kernel.h"

namespace colophon {
namespace {

size_t divide_up(size_t a, size_t b) { return (a + b - 1) / b; }
size_t round_up(size_t a, size_t b) { return divide_up(a, b) * b; }

/// Query rows of a tile: enough of them share each page that it is widened and brought near once, while the tile's
/// scores (4 bytes for each query row and position) stay in the second-level cache.
size_t tile_query_rows(size_t positions) { return positions <= 2048 ? 48 : 24; }

/// Every run, KV head and group of rows; the rows with most to see first, so that the last task is a short one.
void cut_into_tiles(const KvLayout& kv, size_t layer, std::span<const AttentionRun> runs, const float* q, size_t q_stride,
                    size_t heads, float scale, size_t window, float* out, size_t out_stride,
                    std::vector<AttentionTile>& tiles) {
  tiles.clear();
  const size_t group = heads / kv.kv_heads, head_bytes = kv.head_dim * kPageTokens * kv.element_bytes();
  for (const AttentionRun& run : runs) {
    const size_t rows = std::max<size_t>(1, tile_query_rows(run.first_position + run.rows) / group);
    for (size_t tile_index = divide_up(run.rows, rows); tile_index-- > 0;) {
      for (size_t head = 0; head < kv.kv_heads; ++head) {
        AttentionTile tile;
        const size_t row = tile_index * rows;
        tile.f16 = kv.type == KvType::f16;
        tile.keys = kv.layer_of_page(0, layer) + head * head_bytes;
        tile.values = kv.layer_of_page(0, layer) + (kv.kv_heads + head) * head_bytes;
        tile.page_bytes = kv.page_bytes();
        tile.pages = run.pages;
        tile.head_dim = kv.head_dim;
        tile.group = group;
        tile.rows = std::min(rows, run.rows - row);
        tile.first_position = run.first_position + row;
        tile.window = window == 0 ? SIZE_MAX : window;
        tile.scale = scale;
        tile.q = q + (run.first_row + row) * q_stride + head * group * kv.head_dim;
        tile.q_stride = q_stride;
        tile.out = out + (run.first_row + row) * out_stride + head * group * kv.head_dim;
        tile.out_stride = out_stride;
        tile.first_page = first_seen(tile, 0) / kPageTokens;
        tile.last_page = divide_up(end_seen(tile, tile.rows - 1), kPageTokens);
        tile.next = nullptr;
        tiles.push_back(tile);
      }
    }
  }
}

/// A tile's memory, cut from one allocation. Every part begins at a cache line.
constexpr size_t kLine = 16;  // floats
size_t q_floats(const AttentionTile& tile) { return round_up(query_rows(tile) * tile.head_dim, kLine); }
size_t score_floats(const AttentionTile& tile) {
  return query_rows(tile) * (tile.last_page - tile.first_page) * kPageTokens;
}
size_t sum_floats(const AttentionTile& tile) { return round_up(query_rows(tile), kLine); }
size_t out_floats(const AttentionTile& tile) { return query_rows(tile) * round_up(tile.head_dim, kPageTokens); }
size_t page_floats(const AttentionTile& tile) {
  return kWidenedPages * kPageTokens * round_up(tile.head_dim, kPageTokens);
}
size_t shared_floats(const AttentionTile& tile) {
  return q_floats(tile) + score_floats(tile) + sum_floats(tile) + out_floats(tile);
}
AttentionScratch cut_scratch(const AttentionTile& tile, float* shared, float* page) {
  AttentionScratch scratch;
  scratch.q = shared;
  scratch.scores = scratch.q + q_floats(tile);
  scratch.sums = scratch.scores + score_floats(tile);
  scratch.out = scratch.sums + sum_floats(tile);
  scratch.page = page;
  return scratch;
}

/// Memory that grows and is kept: steady state allocates nothing.
class Buffer {
 public:
  float* at_least(size_t floats) {
    if (floats + kLine > memory_.size()) {
      memory_.clear();
      memory_.resize(floats + floats / 2 + kLine);
    }
    const size_t misaligned = reinterpret_cast<uintptr_t>(memory_.data()) / sizeof(float) % kLine;
    return memory_.data() + (kLine - misaligned) % kLine;
  }

 private:
  std::vector<float> memory_;
};

/// What a calling thread keeps between calls.
struct Kept {
  std::vector<AttentionTile> tiles;
  std::vector<Buffer> workers;  ///< sized before a region starts, so that a worker never allocates
  Buffer shared;
  std::vector<AttentionScratch> scratches;
};
thread_local Kept kept;

/// The query rows of a block side by side for each dimension: the kernels broadcast from consecutive floats.
void pack_queries(const AttentionTile& tile, float* to) {
  for (size_t block = 0; block < query_blocks(tile); ++block) {
    const size_t rows = query_rows_of_block(tile, block);
    for (size_t r = 0; r < rows; ++r) {
      const size_t query_row = block * kQueryRows + r;
      const float* q = tile.q + query_row / tile.group * tile.q_stride + query_row % tile.group * tile.head_dim;
      for (size_t d = 0; d < tile.head_dim; ++d) to[d * rows + r] = q[d];
    }
    to += rows * tile.head_dim;
  }
}

#if defined(__x86_64__)
/// A task for a few tiles.
void attend_tiles(OpContext& context, std::vector<AttentionTile>& tiles) {
  const auto scores = context.isa == Isa::avx512 ? avx512::attention_scores : avx2::attention_scores;
  const auto weights = context.isa == Isa::avx512 ? avx512::attention_weights : avx2::attention_weights;
  const auto values = context.isa == Isa::avx512 ? avx512::attention_values : avx2::attention_values;
  size_t most = 0;
  for (const AttentionTile& tile : tiles) most = std::max(most, shared_floats(tile) + page_floats(tile));
  std::vector<Buffer>& workers = kept.workers;
  if (workers.size() < context.pool.threads()) workers.resize(context.pool.threads());
  for (size_t worker = 0; worker < context.pool.threads(); ++worker) workers[worker].at_least(most);
  const size_t chunk = std::clamp<size_t>(tiles.size() / (16 * context.pool.threads()), 1, 8);
  for (size_t i = 0; i + 1 < tiles.size(); ++i) {
    if ((i + 1) % chunk != 0) tiles[i].next = &tiles[i + 1];
  }
  context.pool.parallel_for(divide_up(tiles.size(), chunk), [&](size_t task, size_t worker) {
    float* memory = workers[worker].at_least(most);
    for (size_t i = task * chunk; i < std::min(tiles.size(), (task + 1) * chunk); ++i) {
      const AttentionTile& tile = tiles[i];
      const AttentionScratch scratch = cut_scratch(tile, memory + page_floats(tile), memory);
      pack_queries(tile, scratch.q);
      scores(tile, scratch, tile.first_page, tile.last_page);
      for (size_t block = 0; block < query_blocks(tile); ++block) weights(tile, scratch, block);
      values(tile, scratch, 0, round_up(tile.head_dim, kPageTokens));
    }
  });
}

/// Fewer tiles than keep the threads busy: each step is a region of its own, cut finer.
void attend_in_steps(OpContext& context, const std::vector<AttentionTile>& tiles) {
  const auto scores = context.isa == Isa::avx512 ? avx512::attention_scores : avx2::attention_scores;
  const auto weights = context.isa == Isa::avx512 ? avx512::attention_weights : avx2::attention_weights;
  const auto values = context.isa == Isa::avx512 ? avx512::attention_values : avx2::attention_values;
  const size_t threads = context.pool.threads();
  size_t floats = threads * page_floats(tiles[0]), most_pages = 0, most_blocks = 0;
  for (const AttentionTile& tile : tiles) {
    floats += shared_floats(tile);
    most_pages = std::max(most_pages, tile.last_page - tile.first_page);
    most_blocks = std::max(most_blocks, query_blocks(tile));
  }
  float* const pages = kept.shared.at_least(floats);
  float* memory = pages + threads * page_floats(tiles[0]);
  std::vector<AttentionScratch>& scratches = kept.scratches;
  scratches.clear();
  for (const AttentionTile& tile : tiles) {
    scratches.push_back(cut_scratch(tile, memory, nullptr));
    pack_queries(tile, scratches.back().q);
    memory += shared_floats(tile);
  }
  const auto scratch_of = [&](size_t tile, size_t worker) {
    AttentionScratch scratch = scratches[tile];
    scratch.page = pages + worker * page_floats(tiles[tile]);
    return scratch;
  };

  const size_t chunk = round_up(std::max<size_t>(8, divide_up(most_pages, 4 * threads)), kWidenedPages);
  const size_t chunks = divide_up(most_pages, chunk);
  context.pool.parallel_for(tiles.size() * chunks, [&](size_t task, size_t worker) {
    const AttentionTile& tile = tiles[task / chunks];
    const size_t first = tile.first_page + task % chunks * chunk;
    if (first < tile.last_page)
      scores(tile, scratch_of(task / chunks, worker), first, std::min(first + chunk, tile.last_page));
  });
  context.pool.parallel_for(tiles.size() * most_blocks, [&](size_t task, size_t worker) {
    const size_t tile = task / most_blocks, block = task % most_blocks;
    if (block < query_blocks(tiles[tile])) weights(tiles[tile], scratch_of(tile, worker), block);
  });
  const size_t columns = round_up(tiles[0].head_dim, kPageTokens), slice = 2 * kPageTokens;
  const size_t slices = divide_up(columns, slice);
  context.pool.parallel_for(tiles.size() * slices, [&](size_t task, size_t worker) {
    const size_t first = task % slices * slice;
    values(tiles[task / slices], scratch_of(task / slices, worker), first, std::min(first + slice, columns));
  });
}
#endif

void attend_plainly(OpContext& context, const std::vector<AttentionTile>& tiles) {
  size_t most = 0;
  for (const AttentionTile& tile : tiles) most = std::max(most, end_seen(tile, tile.rows - 1));
  std::vector<Buffer>& workers = kept.workers;
  if (workers.size() < context.pool.threads()) workers.resize(context.pool.threads());
  for (size_t worker = 0; worker < context.pool.threads(); ++worker) workers[worker].at_least(most);
  context.pool.parallel_for(tiles.size(), [&](size_t task, size_t worker) {
    reference::attention(tiles[task], workers[worker].at_least(most));
  });
}

}  // namespace

void kv_write(OpContext& context, const KvLayout& kv, size_t layer, std::span<const AttentionRun> runs, const float* k,
              size_t k_stride, const float* v, size_t v_stride) {
  const auto kernel = COLOPHON_KERNEL(context.isa, kv_write_page);
  // A task is a run's part of one page or, of short runs, a few: no two workers write to one page.
  constexpr size_t kRowsOfTask = 64;
  struct Part {
    size_t run, first_row;
  };
  static thread_local std::vector<Part> parts;
  parts.clear();
  for (size_t run = 0; run < runs.size(); ++run) {
    const size_t first = runs[run].first_position, end = first + runs[run].rows;
    for (size_t position = first; position < end; position = (position / kPageTokens + 1) * kPageTokens)
      parts.push_back({run, position - first});
  }
  size_t rows = 0;
  for (const AttentionRun& run : runs) rows += run.rows;
  const size_t chunk = std::max<size_t>(1, parts.size() * kRowsOfTask / std::max<size_t>(rows, 1));
  const Part* const all = parts.data();
  const size_t count = parts.size();
  context.pool.parallel_for(divide_up(count, chunk), [&](size_t task, size_t) {
    for (size_t i = task * chunk; i < std::min(count, (task + 1) * chunk); ++i) {
      const AttentionRun& run = runs[all[i].run];
      const size_t position = run.first_position + all[i].first_row, lane = position % kPageTokens;
      const size_t row = run.first_row + all[i].first_row;
      kernel(kv.type == KvType::f16, kv.layer_of_page(run.pages[position / kPageTokens], layer), kv.kv_heads, kv.head_dim,
             lane, std::min(kPageTokens - lane, run.rows - all[i].first_row), k + row * k_stride, k_stride,
             v + row * v_stride, v_stride);
    }
  });
}

void attention(OpContext& context, const KvLayout& kv, size_t layer, std::span<const AttentionRun> runs, const float* q,
               size_t q_stride, size_t heads, float scale, size_t window, float* out, size_t out_stride) {
  std::vector<AttentionTile>& tiles = kept.tiles;
  cut_into_tiles(kv, layer, runs, q, q_stride, heads, scale, window, out, out_stride, tiles);
  if (tiles.empty()) return;
  if (context.isa == Isa::reference) return attend_plainly(context, tiles);
#if defined(__x86_64__)
  // Two more regions cost a few microseconds, as much as a tile of some 16 pages.
  constexpr size_t kPagesWorthSteps = 32;
  const size_t threads = context.pool.threads();
  const bool long_tile = std::any_of(tiles.begin(), tiles.end(), [](const AttentionTile& tile) {
    return tile.last_page - tile.first_page >= kPagesWorthSteps;
  });
  if (threads > 1 && tiles.size() < 4 * threads && long_tile) attend_in_steps(context, tiles);
  else attend_tiles(context, tiles);
#endif
}

}  // namespace colophon
