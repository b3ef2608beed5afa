#include "ops/linear.h"

#include <cmath>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "ops/op_testing.h"
#include "ops/simd.h"
#include "ops/widen.h"
#include "testing/test.h"

namespace colophon {
namespace {

constexpr DType kTypes[] = {DType::f32,  DType::f16,  DType::bf16, DType::q8_0,
                            DType::q4_0, DType::q4_1, DType::q4_k, DType::q6_k};

bool is_quantized(DType type) { return block_elements(type) > 1; }

std::vector<Isa> fast_isas() {
  std::vector<Isa> isas;
  for (Isa isa : {Isa::avx2, Isa::avx512})
    if (isa_supported(isa)) isas.push_back(isa);
  return isas;
}

void put_f16(std::vector<uint8_t>& bytes, size_t at, float value) {
  const uint16_t half = simd::f32_to_f16(value);
  std::memcpy(&bytes[at], &half, 2);
}

/// A tensor's bytes as a file has them: random quants, scales of a model's usual size and of either sign.
std::vector<uint8_t> random_weights(std::mt19937& random, DType type, size_t rows, size_t columns) {
  std::normal_distribution<float> normal(0, 0.05f);
  const size_t blocks = rows * columns / block_elements(type);
  std::vector<uint8_t> bytes(blocks * block_bytes(type));
  for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random());
  for (size_t block = 0; block < blocks; ++block) {
    const size_t at = block * block_bytes(type);
    const float value = normal(random);
    switch (type) {
      case DType::f32:
        std::memcpy(&bytes[at], &value, 4);
        break;
      case DType::f16:
        put_f16(bytes, at, value);
        break;
      case DType::bf16:
        std::memcpy(&bytes[at], reinterpret_cast<const uint8_t*>(&value) + 2, 2);
        break;
      case DType::q8_0:
      case DType::q4_0:
        put_f16(bytes, at, value);
        break;
      case DType::q4_1:
      case DType::q4_k:
        put_f16(bytes, at, value);
        put_f16(bytes, at + 2, normal(random));
        break;
      case DType::q6_k:
        put_f16(bytes, at + 208, value);
        break;
    }
  }
  return bytes;
}

float read_half(const uint8_t* p) { return simd::f16_to_f32(static_cast<uint16_t>(p[0] | p[1] << 8)); }

/// Element `column` of a row, read straight from the file's bytes: the formats' definitions, element by
/// element.
float file_element(DType type, const uint8_t* row, size_t column) {
  const uint8_t* p = row + column / block_elements(type) * block_bytes(type);
  const size_t i = column % block_elements(type);
  switch (type) {
    case DType::f32: {
      float value;
      std::memcpy(&value, p, 4);
      return value;
    }
    case DType::f16:
      return read_half(p);
    case DType::bf16:
      return simd::bf16_to_f32(static_cast<uint16_t>(p[0] | p[1] << 8));
    case DType::q8_0:
      return read_half(p) * static_cast<float>(static_cast<int8_t>(p[2 + i]));
    case DType::q4_0:
      return read_half(p) * static_cast<float>((i < 16 ? p[2 + i] & 15 : p[2 + i - 16] >> 4) - 8);
    case DType::q4_1: {
      const float product = read_half(p) * static_cast<float>(i < 16 ? p[4 + i] & 15 : p[4 + i - 16] >> 4);
      return product + read_half(p + 2);
    }
    case DType::q4_k: {
      // Bit fields of the 12 bytes at p + 4: scale s and minimum s of 6 bits each.
      const size_t s = i / 32;
      const uint8_t* packed = p + 4;
      const int scale = s < 4 ? packed[s] & 0x3f : (packed[s + 4] & 0x0f) | ((packed[s - 4] & 0xc0) >> 2);
      const int minimum =
          s < 4 ? packed[s + 4] & 0x3f : (packed[s + 4] & 0xf0) >> 4 | ((packed[s] & 0xc0) >> 2);
      const uint8_t byte = p[16 + i / 64 * 32 + i % 32];
      const int q = i % 64 < 32 ? byte & 15 : byte >> 4;
      const float product = read_half(p) * static_cast<float>(scale) * static_cast<float>(q);
      return product - read_half(p + 2) * static_cast<float>(minimum);
    }
    case DType::q6_k: {
      const size_t half = i / 128, l = i % 32;
      const uint8_t* low = p + 64 * half;
      const uint8_t high = p[128 + 32 * half + l];
      int q = 0;
      switch (i % 128 / 32) {
        case 0:
          q = (low[l] & 15) | (high & 3) << 4;
          break;
        case 1:
          q = (low[l + 32] & 15) | (high >> 2 & 3) << 4;
          break;
        case 2:
          q = low[l] >> 4 | (high >> 4 & 3) << 4;
          break;
        case 3:
          q = low[l + 32] >> 4 | (high >> 6 & 3) << 4;
          break;
      }
      const float scale = static_cast<float>(static_cast<int8_t>(p[192 + i / 16]));
      return read_half(p + 208) * scale * static_cast<float>(q - 32);
    }
  }
  return 0;
}

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

/// One in sixteen is up to 300 times as large as the others.
std::vector<float> random_floats(std::mt19937& random, size_t count) {
  std::normal_distribution<float> normal(0, 1);
  std::vector<float> values(count);
  for (float& value : values) value = normal(random) * (random() % 16 == 0 ? static_cast<float>(random() % 300) : 1.0f);
  return values;
}

/// Activations and their quantised form.
struct Batch {
  std::vector<float> x;
  QuantizedBuffer buffer;
  size_t rows, columns;

  Batch(std::vector<float> values, size_t row_count, size_t column_count)
      : x(std::move(values)), rows(row_count), columns(column_count) {
    if (columns % 32 != 0) return;
    buffer = QuantizedBuffer(rows, columns);
    ThreadPool pool(1);
    OpContext context{pool, Isa::reference};
    quantize_rows(context, x.data(), rows, columns, quantized());
  }
  QuantizedRows quantized() { return buffer.rows(); }
};

/// y = batch * weight^T, in rows of `stride` floats; what linear() may not touch stays 7.
std::vector<float> run(Isa isa, size_t threads, const PackedMatrix& weight, Batch& batch, bool int8,
                       size_t stride) {
  ThreadPool pool(threads);
  OpContext context{pool, isa};
  std::vector<float> y(batch.rows * stride, 7.0f);
  const QuantizedRows quantized = batch.quantized();
  const LinearCall call{&weight, batch.x.data(), int8 ? &quantized : nullptr, y.data(), stride};
  linear(context, {&call, 1}, batch.rows);
  return y;
}

size_t random_columns(std::mt19937& random, DType type) {
  if (type == DType::q4_k || type == DType::q6_k) return 256 * (1 + random() % 5);
  if (is_quantized(type)) return 32 * (1 + random() % 40);
  return 1 + random() % 300;
}

std::string describe(DType type, Isa isa, bool int8, size_t rows, size_t columns, size_t tokens) {
  return std::string(to_string(type)) + " " + std::string(to_string(isa)) + (int8 ? " int8 " : " float32 ") +
         std::to_string(rows) + "x" + std::to_string(columns) + " tokens " + std::to_string(tokens);
}

}  // namespace

TEST(linear_dequantizes_rows_as_the_formats_define) {
  std::mt19937 random(1);
  ThreadPool pool(2);
  for (DType type : kTypes) {
    for (int repeat = 0; repeat < 4; ++repeat) {
      const size_t rows = 1 + random() % 40, columns = random_columns(random, type);
      const std::vector<uint8_t> bytes = random_weights(random, type, rows, columns);
      const size_t row_bytes = bytes.size() / rows;
      std::vector<uint32_t> source(rows);
      for (uint32_t& row : source) row = random() % rows;
      const PackedMatrix plain = PackedMatrix::pack(pool, type, bytes.data(), rows, columns);
      const PackedMatrix permuted =
          PackedMatrix::pack(pool, type, bytes.data(), rows, columns, source.data());
      std::vector<float> expected(columns), got(columns);
      for (size_t row = 0; row < rows; ++row) {
        for (size_t i = 0; i < columns; ++i) expected[i] = file_element(type, &bytes[row * row_bytes], i);
        plain.dequantize_row(row, got.data());
        // A zero's sign is the one freedom: q = 0 with a negative scale, or -8 d + 8 d.
        for (size_t i = 0; i < columns; ++i) CHECK_EQ(got[i], expected[i]);
        for (size_t i = 0; i < columns; ++i)
          expected[i] = file_element(type, &bytes[source[row] * row_bytes], i);
        permuted.dequantize_row(row, got.data());
        for (size_t i = 0; i < columns; ++i) CHECK_EQ(got[i], expected[i]);
      }
      std::vector<float> across((columns + 15) / 16 * 16 * rows), along((rows + 15) / 16 * 16 * columns);
      for (const Isa isa : testing::supported_isas()) {
        for (size_t group = 0; group * 16 < rows; ++group) {
          widen_rows(isa, plain, group, group * 16, rows, across.data());
          widen_columns(isa, plain, group, &along[group * 16 * columns]);
        }
        for (size_t row = 0; row < (rows + 15) / 16 * 16; ++row) {
          std::fill(got.begin(), got.end(), 0.0f);
          if (row < rows) plain.dequantize_row(row, got.data());
          for (size_t i = 0; i < columns; ++i) CHECK_EQ(along[(row / 16 * columns + i) * 16 + row % 16], got[i]);
          for (size_t i = 0; i < columns && row < rows; ++i) CHECK_EQ(across[(i / 16 * rows + row) * 16 + i % 16], got[i]);
        }
      }
    }
  }
}

TEST(linear_reference_is_close_to_a_double_precision_product) {
  std::mt19937 random(2);
  ThreadPool pool(1);
  for (DType type : kTypes) {
    const size_t rows = 37, columns = 512, tokens = 5;
    const std::vector<uint8_t> bytes = random_weights(random, type, rows, columns);
    const PackedMatrix weight = PackedMatrix::pack(pool, type, bytes.data(), rows, columns);
    Batch batch(random_floats(random, tokens * columns), tokens, columns);
    const std::vector<float> quantized = testing::values(batch.buffer);
    for (bool int8 : {false, true}) {
      if (int8 && !is_quantized(type)) continue;
      const std::vector<float> y = run(Isa::reference, 1, weight, batch, int8, rows);
      for (size_t token = 0; token < tokens; ++token) {
        for (size_t row = 0; row < rows; ++row) {
          double sum = 0, size = 0;
          for (size_t i = 0; i < columns; ++i) {
            const double w = file_element(type, &bytes[row * (bytes.size() / rows)], i);
            const size_t at = token * columns + i;
            const double x = int8 ? quantized[at] : batch.x[at];
            sum += w * x;
            size += std::fabs(w * x);
          }
          // Nibbles' quants and minimum cancel, so the error is measured against a somewhat larger sum.
          CHECK(std::fabs(y[token * rows + row] - sum) <= 1e-5 * size + 1e-6);
        }
      }
    }
  }
}

TEST(linear_gives_the_reference_bits_on_every_instruction_set) {
  std::mt19937 random(3);
  ThreadPool pool(2);
  for (DType type : kTypes) {
    for (int repeat = 0; repeat < 24; ++repeat) {
      const size_t rows = 1 + random() % 70, columns = random_columns(random, type);
      // Every remainder of the tiles, and more than one tile.
      const size_t tokens = repeat < 14 ? repeat + 1 : 1 + random() % 70;
      const std::vector<uint8_t> bytes = random_weights(random, type, rows, columns);
      const PackedMatrix weight = PackedMatrix::pack(pool, type, bytes.data(), rows, columns);
      Batch batch(random_floats(random, tokens * columns), tokens, columns);
      for (bool int8 : {false, true}) {
        if (int8 && !is_quantized(type)) continue;
        const size_t stride = rows + random() % 5;
        const std::vector<float> expected = run(Isa::reference, 1, weight, batch, int8, stride);
        for (Isa isa : fast_isas())
          if (!same_bits(run(isa, 2, weight, batch, int8, stride), expected))
            testing::fail(__FILE__, __LINE__, describe(type, isa, int8, rows, columns, tokens));
      }
    }
  }
}

TEST(linear_is_right_at_the_extremes) {
  std::mt19937 random(4);
  ThreadPool pool(1);
  // All bits set or clear in the quants, the largest scales, and activations at the end of their range, so
  // that every intermediate sum is as large as it can be.
  for (DType type : kTypes) {
    if (!is_quantized(type)) continue;
    for (int fill : {0x00, 0x80, 0x7f, 0xff}) {
      const size_t rows = 17, columns = 512, tokens = 9;
      std::vector<uint8_t> bytes = random_weights(random, type, rows, columns);
      const size_t size = block_bytes(type);
      for (size_t at = 0; at < bytes.size(); at += size) {
        const bool minimum = type == DType::q4_1 || type == DType::q4_k;
        const size_t scales = type == DType::q6_k ? 208 : 0, quants = type == DType::q6_k ? 0
                                                                      : minimum           ? 4
                                                                                          : 2;
        const size_t end = type == DType::q6_k ? 208 : size;
        for (size_t i = quants; i < end; ++i) bytes[at + i] = static_cast<uint8_t>(fill);
        put_f16(bytes, at + scales, at / size % 3 == 0 ? 65504.0f : at / size % 3 == 1 ? 6e-8f : 0.0f);
        if (minimum) put_f16(bytes, at + 2, at / size % 2 == 0 ? -65504.0f : 65504.0f);
      }
      const PackedMatrix weight = PackedMatrix::pack(pool, type, bytes.data(), rows, columns);
      std::vector<float> x(tokens * columns);
      for (size_t i = 0; i < x.size(); ++i) {
        const float sizes[] = {1.0f, -1.0f, 0.0f, 1e10f, -1e-20f};
        x[i] = sizes[i / columns % 5] * (i / columns == 7 && i % 2 == 0 ? -1.0f : 1.0f);
        // Outliers too, at any place of the block.
        if (i / columns >= 5 && i % 32 == i / 32 % 32) x[i] *= i / columns % 2 == 0 ? 128.0f : -128.0f;
      }
      Batch batch(std::move(x), tokens, columns);
      for (bool int8 : {false, true}) {
        const std::vector<float> expected = run(Isa::reference, 1, weight, batch, int8, rows);
        for (float value : expected) CHECK(std::isfinite(value));
        for (Isa isa : fast_isas())
          if (!same_bits(run(isa, 1, weight, batch, int8, rows), expected))
            testing::fail(
                __FILE__, __LINE__,
                describe(type, isa, int8, rows, columns, tokens) + " filled with " + std::to_string(fill));
      }
    }
  }
}

TEST(linear_does_not_depend_on_threads_or_on_the_rest_of_the_batch) {
  std::mt19937 random(5);
  ThreadPool pool(2);
  for (DType type : {DType::q4_1, DType::q8_0, DType::f16}) {
    // Enough tokens and columns for more than one block of tokens.
    const size_t rows = 75, columns = 1536, tokens = 150;
    const std::vector<uint8_t> bytes = random_weights(random, type, rows, columns);
    const PackedMatrix weight = PackedMatrix::pack(pool, type, bytes.data(), rows, columns);
    Batch batch(random_floats(random, tokens * columns), tokens, columns);
    for (bool int8 : {false, true}) {
      if (int8 && !is_quantized(type)) continue;
      std::vector<Isa> isas = fast_isas();
      isas.push_back(Isa::reference);
      for (Isa isa : isas) {
        const std::vector<float> all = run(isa, 1, weight, batch, int8, rows);
        for (size_t threads : {2, 3}) CHECK(same_bits(run(isa, threads, weight, batch, int8, rows), all));
        for (int repeat = 0; repeat < 6; ++repeat) {
          const size_t count = 1 + random() % 12, first = random() % (tokens - count);
          Batch part({batch.x.begin() + first * columns, batch.x.begin() + (first + count) * columns}, count,
                     columns);
          const std::vector<float> y = run(isa, 2, weight, part, int8, rows);
          CHECK(same_bits(y, {all.begin() + first * rows, all.begin() + (first + count) * rows}));
        }
      }
    }
  }
}

TEST(linear_runs_several_weights_in_one_call) {
  std::mt19937 random(6);
  ThreadPool pool(2);
  const size_t columns = 576, tokens = 11;
  const DType types[] = {DType::q4_1, DType::q8_0, DType::f32};
  const size_t rows[] = {576, 192, 50};
  Batch batch(random_floats(random, tokens * columns), tokens, columns);
  const QuantizedRows quantized = batch.quantized();
  std::vector<PackedMatrix> weights;
  for (size_t i = 0; i < 3; ++i) {
    const std::vector<uint8_t> bytes = random_weights(random, types[i], rows[i], columns);
    weights.push_back(PackedMatrix::pack(pool, types[i], bytes.data(), rows[i], columns));
    CHECK_EQ(weights[i].quantized(), types[i] != DType::f32);
    CHECK(weights[i].bytes() >= bytes.size());
  }
  std::vector<std::vector<float>> y;
  for (size_t i = 0; i < 3; ++i) y.emplace_back(tokens * rows[i]);
  std::vector<LinearCall> calls;
  for (size_t i = 0; i < 3; ++i)
    calls.push_back({&weights[i], batch.x.data(), &quantized, y[i].data(), rows[i]});
  OpContext context{pool, best_isa()};
  linear(context, calls, tokens);
  for (size_t i = 0; i < 3; ++i)
    CHECK(same_bits(y[i], run(Isa::reference, 1, weights[i], batch, is_quantized(types[i]), rows[i])));
}

TEST(linear_refuses_shapes_it_cannot_pack) {
  ThreadPool pool(1);
  const std::vector<uint8_t> bytes(4096);
  CHECK_THROWS("4 x 48", PackedMatrix::pack(pool, DType::q4_1, bytes.data(), 4, 48));
  CHECK_THROWS("Q6_K", PackedMatrix::pack(pool, DType::q6_k, bytes.data(), 1, 128));
  CHECK_THROWS("0 x 32", PackedMatrix::pack(pool, DType::f32, bytes.data(), 0, 32));
  CHECK_THROWS("at least one row", PackedMatrix::pack(pool, DType::f16, bytes.data(), 3, 0));
}

}  // namespace colophon
