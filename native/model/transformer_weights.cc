#include "model/transformer_weights.h"

#include <cmath>
#include <string>

namespace colophon {
namespace {

/// GGUF keeps the two halves of a rotary pair side by side (row 2i and 2i+1 of a head); Hugging Face keeps them half a
/// head apart. Row i of the result is the file's row for Hugging Face's row i.
std::vector<uint32_t> rotary_rows(size_t heads, size_t head_dim) {
  std::vector<uint32_t> rows(heads * head_dim);
  for (size_t head = 0; head < heads; ++head)
    for (size_t i = 0; i < head_dim; ++i)
      rows[head * head_dim + i] =
          static_cast<uint32_t>(head * head_dim + (i < head_dim / 2 ? 2 * i : 2 * (i - head_dim / 2) + 1));
  return rows;
}

/// The frequencies' divisors that GGUF files may bring.
std::vector<float> rope_factors(const ModelFile& file) {
  return file.find("rope_freqs.weight") ? file.floats("rope_freqs.weight", file.hyperparameters().rotary_dim / 2)
                                        : std::vector<float>();
}

}  // namespace

TransformerWeights::TransformerWeights(OpContext& context, const ModelFile& file, const TransformerTraits& given,
                                       size_t max_positions)
    : h(file.hyperparameters()),
      traits(given),
      q_columns(h.heads * h.head_dim),
      kv_columns(h.kv_heads * h.head_dim),
      rope_(h.rotary_dim, h.rope_base, h.rope_scaling, rope_factors(file), max_positions),
      window_rope_(h.rotary_dim, h.window_rope_base.value_or(h.rope_base), RopeScaling(), {},
                   h.window_rope_base ? max_positions : 0) {
  // A norm's weights, as they multiply.
  const auto norm = [&](const std::string& module, size_t size) {
    std::vector<float> weight = file.floats(module + ".weight", size);
    if (traits.norms_kept_less_one && !file.is_gguf())
      for (float& w : weight) w = 1.0f + w;
    return weight;
  };
  WeightMemory memory;
  const auto pack = [&](const std::string& name, size_t rows, size_t columns, const uint32_t* row_source) {
    const Tensor& tensor = file.require(name, {rows, columns});
    return PackedMatrix::pack(context.pool, tensor.type, tensor.data, rows, columns, row_source, &memory);
  };
  const std::vector<uint32_t> q_rows = rotary_rows(h.heads, h.head_dim), k_rows = rotary_rows(h.kv_heads, h.head_dim);
  embedding = pack("model.embed_tokens.weight", h.vocabulary, h.hidden, nullptr);
  if (!h.tied_head) head_ = pack("lm_head.weight", h.vocabulary, h.hidden, nullptr);
  final_norm = norm("model.norm", h.hidden);
  const bool interleaved = file.is_gguf() && traits.interleaved_rotary_in_gguf;
  blocks.resize(h.layers);
  for (size_t layer = 0; layer < h.layers; ++layer) {
    const std::string prefix = "model.layers." + std::to_string(layer) + ".";
    TransformerBlock& block = blocks[layer];
    block.attention_norm = norm(prefix + "input_layernorm", h.hidden);
    if (traits.norms_outputs) {
      block.attention_out_norm = norm(prefix + "post_attention_layernorm", h.hidden);
      block.feed_forward_norm = norm(prefix + "pre_feedforward_layernorm", h.hidden);
      block.feed_forward_out_norm = norm(prefix + "post_feedforward_layernorm", h.hidden);
    } else {
      block.feed_forward_norm = norm(prefix + "post_attention_layernorm", h.hidden);
    }
    if (traits.norms_heads) {
      block.q_norm = norm(prefix + "self_attn.q_norm", h.head_dim);
      block.k_norm = norm(prefix + "self_attn.k_norm", h.head_dim);
    }
    for (size_t i = 0; i < kLinearsPerLayer; ++i) {
      const Linear linear = static_cast<Linear>(i);
      const uint32_t* row_source = nullptr;
      if (interleaved && linear == Linear::q) row_source = q_rows.data();
      if (interleaved && linear == Linear::k) row_source = k_rows.data();
      const auto [rows, columns] = shape(linear);
      const std::string name = prefix + module_path(linear);
      block.linears[i] = pack(name + ".weight", rows, columns, row_source);
      if (!file.find(name + ".bias")) continue;
      const std::vector<float> bias = file.floats(name + ".bias", rows);
      block.biases[i].resize(rows);
      for (size_t row = 0; row < rows; ++row) block.biases[i][row] = bias[row_source ? row_source[row] : row];
    }
  }
}

size_t TransformerWeights::bytes() const {
  size_t bytes = embedding.bytes() + (h.tied_head ? 0 : head_.bytes());
  for (const TransformerBlock& block : blocks)
    for (const PackedMatrix& linear : block.linears) bytes += linear.bytes();
  return bytes;
}

std::pair<size_t, size_t> TransformerWeights::shape(Linear linear) const {
  switch (linear) {
    case Linear::q: return {q_columns, h.hidden};
    case Linear::k: case Linear::v: return {kv_columns, h.hidden};
    case Linear::o: return {h.hidden, q_columns};
    case Linear::gate: case Linear::up: return {h.feed_forward, h.hidden};
    case Linear::down: return {h.hidden, h.feed_forward};
  }
  return {0, 0};
}

float TransformerWeights::attention_scale() const {
  return static_cast<float>(h.attention_scale.value_or(1.0 / std::sqrt(static_cast<double>(h.head_dim))));
}

void TransformerWeights::embed(OpContext& context, const std::vector<int32_t>& tokens, float* x) const {
  context.pool.parallel_for(tokens.size(), [&](size_t row, size_t) {
    float* const out = x + row * h.hidden;
    embedding.dequantize_row(static_cast<size_t>(tokens[row]), out);
    if (!traits.scales_embedding) return;
    const float scale = std::sqrt(static_cast<float>(h.hidden));
    for (size_t i = 0; i < h.hidden; ++i) out[i] *= scale;
  });
}

AdapterBase TransformerWeights::adapter_base() const {
  AdapterBase base;
  base.layers = h.layers;
  for (size_t i = 0; i < kLinearsPerLayer; ++i) {
    const auto [out, in] = shape(static_cast<Linear>(i));
    base.shapes[i] = {static_cast<uint32_t>(out), static_cast<uint32_t>(in)};
  }
  base.weight_row = [this](size_t layer, Linear linear, size_t row, float* out) {
    blocks[layer][linear].dequantize_row(row, out);
  };
  return base;
}

}  // namespace colophon
