#pragma once

// A tiny random Llama (GGUF, Q4_1 linears, Q8_0 embedding) and random adapters on it.

#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "adapters/lora_adapter.h"
#include "loader/sha256.h"
#include "ops/simd.h"
#include "testing/files.h"

namespace colophon::testing {

struct TinyShape {
  size_t layers = 2, hidden = 64, heads = 4, kv_heads = 2, head_dim = 16, feed_forward = 96, vocabulary = 128, context = 256;
  size_t q() const { return heads * head_dim; }
  size_t kv() const { return kv_heads * head_dim; }
};

/// Writes the model and returns its path.
inline std::string write_tiny_model(const TempDir& folder, const TinyShape& shape = {}) {
  constexpr uint32_t kF32 = 0, kQ41 = 3, kQ80 = 8;  // GGUF's type numbers
  std::mt19937 random(1234);
  const auto half = [](float value) { return bytes_of(simd::f32_to_f16(value)); };
  const auto random_bytes = [&](size_t count) {
    std::string out;
    for (size_t i = 0; i < count; ++i) out += static_cast<char>(random());
    return out;
  };
  const auto q4_1 = [&](size_t elements) {
    std::string out;
    for (size_t block = 0; block < elements / 32; ++block) {
      const float d = 0.02f + 0.0001f * static_cast<float>(random() % 100);
      out += half(d) + half(-7.5f * d) + random_bytes(16);
    }
    return out;
  };
  const auto q8_0 = [&](size_t elements) {
    std::string out;
    for (size_t block = 0; block < elements / 32; ++block)
      out += half(0.002f + 0.00001f * static_cast<float>(random() % 100)) + random_bytes(32);
    return out;
  };
  const auto norm = [&](size_t elements) {
    std::string out;
    for (size_t i = 0; i < elements; ++i) out += bytes_of(0.8f + 0.001f * static_cast<float>(random() % 400));
    return out;
  };
  GgufWriter gguf;
  gguf.string("general.architecture", "llama")
      .u32("llama.block_count", static_cast<uint32_t>(shape.layers))
      .u32("llama.embedding_length", static_cast<uint32_t>(shape.hidden))
      .u32("llama.attention.head_count", static_cast<uint32_t>(shape.heads))
      .u32("llama.attention.head_count_kv", static_cast<uint32_t>(shape.kv_heads))
      .u32("llama.feed_forward_length", static_cast<uint32_t>(shape.feed_forward))
      .u32("llama.context_length", static_cast<uint32_t>(shape.context))
      .f32("llama.attention.layer_norm_rms_epsilon", 1e-5f)
      .f32("llama.rope.freq_base", 10000.0f)
      .tensor("token_embd.weight", kQ80, {shape.hidden, shape.vocabulary}, q8_0(shape.vocabulary * shape.hidden))
      .tensor("output_norm.weight", kF32, {shape.hidden}, norm(shape.hidden));
  for (size_t layer = 0; layer < shape.layers; ++layer) {
    const std::string prefix = "blk." + std::to_string(layer) + ".";
    const auto matrix = [&](const char* name, size_t rows, size_t columns) {
      gguf.tensor(prefix + name + ".weight", kQ41, {columns, rows}, q4_1(rows * columns));
    };
    gguf.tensor(prefix + "attn_norm.weight", kF32, {shape.hidden}, norm(shape.hidden));
    gguf.tensor(prefix + "ffn_norm.weight", kF32, {shape.hidden}, norm(shape.hidden));
    matrix("attn_q", shape.q(), shape.hidden);
    matrix("attn_k", shape.kv(), shape.hidden);
    matrix("attn_v", shape.kv(), shape.hidden);
    matrix("attn_output", shape.hidden, shape.q());
    matrix("ffn_gate", shape.feed_forward, shape.hidden);
    matrix("ffn_up", shape.feed_forward, shape.hidden);
    matrix("ffn_down", shape.hidden, shape.feed_forward);
  }
  return folder.write("tiny.gguf", gguf.build());
}

/// Writes a random float32 adapter of `rank` on all linears and returns its spec. Different seeds, different adapters.
inline AdapterSpec write_tiny_adapter(const TempDir& folder, uint32_t seed, uint32_t rank, const TinyShape& shape = {}) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, 0.3f);
  const size_t shapes[kLinearsPerLayer][2] = {
      {shape.q(), shape.hidden},  {shape.kv(), shape.hidden},           {shape.kv(), shape.hidden},
      {shape.hidden, shape.q()},  {shape.feed_forward, shape.hidden},   {shape.feed_forward, shape.hidden},
      {shape.hidden, shape.feed_forward}};
  const auto values = [&](size_t count) {
    std::string out;
    for (size_t i = 0; i < count; ++i) out += bytes_of(normal(random));
    return out;
  };
  AdapterSpec spec;
  spec.name = "tiny-" + std::to_string(seed);
  SafetensorsWriter file;
  for (uint32_t layer = 0; layer < shape.layers; ++layer) {
    for (size_t i = 0; i < kLinearsPerLayer; ++i) {
      const auto [out, in] = shapes[i];
      const std::string module =
          "base_model.model.model.layers." + std::to_string(layer) + "." + module_path(static_cast<Linear>(i));
      spec.modules.push_back({layer, static_cast<Linear>(i), rank, 1.0f, false});
      file.tensor(module + ".lora_A.weight", "F32", {rank, in}, values(rank * in));
      file.tensor(module + ".lora_B.weight", "F32", {out, rank}, values(out * rank));
    }
  }
  spec.content_hash = sha256(file.data.data(), file.data.size());
  spec.tensors_path = folder.write(spec.name + ".safetensors", file.build());
  return spec;
}

}  // namespace colophon::testing
