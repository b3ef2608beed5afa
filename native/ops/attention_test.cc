#include "ops/attention.h"

#include <algorithm>
#include <cmath>

#include "ops/op_testing.h"
#include "ops/simd.h"
#include "testing/test.h"

namespace colophon {
namespace {

using testing::between;
using testing::random_floats;
using testing::same_bits;
using testing::supported_isas;

/// Sequences with their own pages in one arena, which starts as the bits of NaN.
struct Batch {
  KvLayout kv;
  std::vector<uint8_t> arena;
  size_t layer, heads, window;
  float scale;
  struct Sequence {
    size_t length, rows;  ///< the last `rows` of `length` positions are in the batch
    std::vector<uint32_t> pages;
    std::vector<float> k, v;  ///< [length][kv_heads * head_dim]
  };
  std::vector<Sequence> sequences;
  std::vector<AttentionRun> runs;
  size_t rows = 0, q_stride, out_stride;
  std::vector<float> q;

  size_t kv_columns() const { return kv.kv_heads * kv.head_dim; }
  size_t columns() const { return heads * kv.head_dim; }
};

Batch random_batch(std::mt19937& random, size_t max_length, size_t min_length = 1, size_t max_sequences = 6) {
  Batch batch;
  const size_t groups[] = {1, 2, 3, 4, 7, 8}, head_dims[] = {16, 64, 64, 80, 128, 4, 8, 24, 40};
  batch.kv.type = random() % 2 ? KvType::f16 : KvType::f32;
  batch.kv.layers = 2;
  batch.kv.kv_heads = between(1, 3, random);
  batch.kv.head_dim = head_dims[random() % std::size(head_dims)];
  batch.heads = batch.kv.kv_heads * groups[random() % std::size(groups)];
  batch.layer = random() % 2;
  batch.window = random() % 3 ? 0 : between(1, 50, random);
  batch.scale = 1 / std::sqrt(static_cast<float>(batch.kv.head_dim));
  size_t pages = 0;
  for (size_t i = between(1, max_sequences, random); i-- > 0;) {
    Batch::Sequence sequence;
    sequence.length = between(min_length, max_length, random);
    sequence.rows = random() % 2 ? 1 : between(1, sequence.length, random);
    sequence.k = random_floats(sequence.length * batch.kv_columns(), random);
    sequence.v = random_floats(sequence.length * batch.kv_columns(), random);
    pages += (sequence.length + kPageTokens - 1) / kPageTokens;
    batch.rows += sequence.rows;
    batch.sequences.push_back(sequence);
  }
  std::vector<uint32_t> order(pages + 3);
  for (size_t i = 0; i < order.size(); ++i) order[i] = static_cast<uint32_t>(i);
  std::shuffle(order.begin(), order.end(), random);
  batch.arena.assign(order.size() * batch.kv.page_bytes(), 0xff);
  batch.kv.arena = batch.arena.data();
  size_t page = 0, row = 0;
  for (Batch::Sequence& sequence : batch.sequences) {
    for (size_t i = 0; i * kPageTokens < sequence.length; ++i) sequence.pages.push_back(order[page++]);
    batch.runs.push_back({row, sequence.rows, sequence.length - sequence.rows, sequence.pages.data()});
    row += sequence.rows;
  }
  batch.q_stride = batch.columns() + random() % 3;
  batch.out_stride = batch.columns() + random() % 3;
  batch.q = random_floats(batch.rows * batch.q_stride, random, 2);
  return batch;
}

/// Writes every position that no row of the batch writes (what earlier steps did), then, by kv_write, the rows'.
void fill(OpContext& context, Batch& batch) {
  std::fill(batch.arena.begin(), batch.arena.end(), 0xff);
  std::vector<float> k, v;
  for (size_t i = 0; i < batch.sequences.size(); ++i) {
    const Batch::Sequence& sequence = batch.sequences[i];
    const size_t before = sequence.length - sequence.rows, from = before * batch.kv_columns();
    const AttentionRun earlier{0, before, 0, sequence.pages.data()};
    kv_write(context, batch.kv, batch.layer, {&earlier, 1}, sequence.k.data(), batch.kv_columns(), sequence.v.data(),
             batch.kv_columns());
    k.insert(k.end(), sequence.k.begin() + static_cast<ptrdiff_t>(from), sequence.k.end());
    v.insert(v.end(), sequence.v.begin() + static_cast<ptrdiff_t>(from), sequence.v.end());
  }
  kv_write(context, batch.kv, batch.layer, batch.runs, k.data(), batch.kv_columns(), v.data(), batch.kv_columns());
}

std::vector<float> attend(OpContext& context, const Batch& batch, std::span<const AttentionRun> runs) {
  std::vector<float> out(batch.rows * batch.out_stride, 7);
  attention(context, batch.kv, batch.layer, runs, batch.q.data(), batch.q_stride, batch.heads, batch.scale, batch.window,
            out.data(), batch.out_stride);
  return out;
}

/// Softmax attention in double precision, straight from k and v.
void check_against_softmax(const Batch& batch, const std::vector<float>& out) {
  const size_t group = batch.heads / batch.kv.kv_heads, head_dim = batch.kv.head_dim;
  const auto stored = [&](float x) { return batch.kv.type == KvType::f16 ? simd::f16_to_f32(simd::f32_to_f16(x)) : x; };
  for (size_t s = 0; s < batch.sequences.size(); ++s) {
    const Batch::Sequence& sequence = batch.sequences[s];
    for (size_t r = 0; r < sequence.rows; ++r) {
      const size_t row = batch.runs[s].first_row + r, end = sequence.length - sequence.rows + r + 1;
      const size_t first = batch.window != 0 && end > batch.window ? end - batch.window : 0;
      for (size_t head = 0; head < batch.heads; ++head) {
        const float* q = batch.q.data() + row * batch.q_stride + head * head_dim;
        const size_t column = head / group * head_dim;
        std::vector<double> weights(end);
        double max = -INFINITY, sum = 0;
        for (size_t p = first; p < end; ++p) {
          double dot = 0;
          for (size_t d = 0; d < head_dim; ++d)
            dot += double{q[d]} * stored(sequence.k[p * batch.kv_columns() + column + d]);
          weights[p] = dot * batch.scale;
          max = std::max(max, weights[p]);
        }
        for (size_t p = first; p < end; ++p) sum += weights[p] = std::exp(weights[p] - max);
        for (size_t d = 0; d < head_dim; ++d) {
          double expected = 0;
          for (size_t p = first; p < end; ++p)
            expected += weights[p] / sum * stored(sequence.v[p * batch.kv_columns() + column + d]);
          CHECK(std::fabs(out[row * batch.out_stride + head * head_dim + d] - expected) < 1e-4);
        }
      }
      for (size_t i = batch.columns(); i < batch.out_stride; ++i) CHECK_EQ(out[row * batch.out_stride + i], 7.0f);
    }
  }
}

}  // namespace

namespace {

void check_everywhere(Batch& batch) {
  ThreadPool one(1);
  OpContext plain{one, Isa::reference};
  fill(plain, batch);
  const std::vector<uint8_t> arena = batch.arena;
  const std::vector<float> expected = attend(plain, batch, batch.runs);
  check_against_softmax(batch, expected);
  for (const Isa isa : supported_isas()) {
    for (const size_t threads : {1, 2, 3}) {
      ThreadPool pool(threads);
      OpContext context{pool, isa};
      fill(context, batch);
      CHECK(same_bits(batch.arena, arena));
      CHECK(same_bits(attend(context, batch, batch.runs), expected));
    }
  }
}

}  // namespace

TEST(attention_has_the_same_bits_everywhere_and_is_softmax) {
  std::mt19937 random(1);
  for (int round = 0; round < 60; ++round) {
    Batch batch = random_batch(random, round % 10 == 0 ? 400 : 90);
    check_everywhere(batch);
  }
}

TEST(attention_of_one_long_sequence_is_shared_by_the_threads) {
  std::mt19937 random(4);
  for (int round = 0; round < 6; ++round) {
    Batch batch = random_batch(random, 700, 520, 1);
    if (round % 2 == 0) batch.window = 0;
    // The last row alone, or the last few: too few tiles for a task each.
    Batch::Sequence& sequence = batch.sequences[0];
    sequence.rows = std::min<size_t>(sequence.rows, round < 3 ? 1 : 7);
    batch.runs[0] = {0, sequence.rows, sequence.length - sequence.rows, sequence.pages.data()};
    batch.rows = sequence.rows;
    check_everywhere(batch);
  }
}

TEST(attention_of_a_row_does_not_depend_on_its_batch) {
  std::mt19937 random(2);
  for (int round = 0; round < 20; ++round) {
    Batch batch = random_batch(random, 120);
    for (const Isa isa : supported_isas()) {
      ThreadPool pool(2);
      OpContext context{pool, isa};
      fill(context, batch);
      const std::vector<float> together = attend(context, batch, batch.runs);
      // Each run alone, and cut into chunks of rows.
      std::vector<float> apart(together.size(), 7);
      for (const AttentionRun& run : batch.runs) {
        for (size_t row = 0; row < run.rows;) {
          const size_t rows = std::min<size_t>(run.rows - row, between(1, 20, random));
          const AttentionRun chunk{run.first_row + row, rows, run.first_position + row, run.pages};
          attention(context, batch.kv, batch.layer, {&chunk, 1}, batch.q.data(), batch.q_stride, batch.heads, batch.scale,
                    batch.window, apart.data(), batch.out_stride);
          row += rows;
        }
      }
      CHECK(same_bits(apart, together));
    }
  }
}

TEST(attention_ignores_what_lies_in_the_future_and_outside_the_window) {
  std::mt19937 random(3);
  for (int round = 0; round < 20; ++round) {
    Batch batch = random_batch(random, 100);
    for (const Isa isa : supported_isas()) {
      ThreadPool pool(1);
      OpContext context{pool, isa};
      std::vector<float> first;
      for (const uint8_t garbage : {0xff, 0x7c, 0x00, 0x7f}) {  // NaN, infinities and large numbers, zeros
        fill(context, batch);
        // Overwrite everything that no row may see: lanes past the end of each sequence.
        const size_t bytes = batch.kv.element_bytes(), columns = batch.kv_columns();
        for (const Batch::Sequence& sequence : batch.sequences) {
          uint8_t* page = batch.kv.layer_of_page(sequence.pages.back(), batch.layer);
          const auto wipe = [&](size_t lane) {
            for (size_t column = 0; column < columns; ++column) {
              const size_t head = column / batch.kv.head_dim, d = column % batch.kv.head_dim;
              std::memset(page + (column * kPageTokens + lane) * bytes, garbage, bytes);
              std::memset(page + (columns * kPageTokens + (head * kPageTokens + lane) * batch.kv.head_dim + d) * bytes, garbage,
                          bytes);
            }
          };
          for (size_t lane = (sequence.length - 1) % kPageTokens + 1; lane < kPageTokens; ++lane) wipe(lane);
          const size_t seen_from = sequence.length - sequence.rows + 1;
          if (batch.window != 0 && seen_from > batch.window) {
            for (size_t position = 0; position < seen_from - batch.window; ++position) {
              page = batch.kv.layer_of_page(sequence.pages[position / kPageTokens], batch.layer);
              wipe(position % kPageTokens);
            }
          }
        }
        const std::vector<float> out = attend(context, batch, batch.runs);
        if (first.empty()) first = out;
        CHECK(same_bits(out, first));
        CHECK(std::all_of(out.begin(), out.end(), [](float x) { return std::isfinite(x); }));
      }
    }
  }
}

}  // namespace colophon
