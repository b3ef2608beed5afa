#include "model/transformer.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

#include "engine/error.h"
#include "ops/elementwise.h"
#include "ops/linear.h"
#include "ops/lora.h"

namespace colophon {
namespace {

/// Norms and biases that the architecture or the file lacks are empty.
struct Block {
  std::vector<float> attention_norm, feed_forward_norm;          ///< [hidden], before each half
  std::vector<float> attention_out_norm, feed_forward_out_norm;  ///< [hidden], behind it
  std::vector<float> q_norm, k_norm;                             ///< [head_dim]
  PackedMatrix linears[kLinearsPerLayer];
  std::vector<float> biases[kLinearsPerLayer];  ///< [rows of the linear]
  const PackedMatrix& operator[](Linear linear) const { return linears[static_cast<size_t>(linear)]; }
};

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

/// Rows of floats whose int8 twin the linears read where the precision is int8.
struct Activations {
  std::vector<float> values;
  QuantizedBuffer memory;
  QuantizedRows quantized;

  Activations(size_t rows, size_t columns, bool quantize) : values(rows * columns) {
    if (!quantize) return;
    memory = QuantizedBuffer(rows, columns);
    quantized = memory.rows();
  }
  const QuantizedRows* quantized_or_null() const { return quantized.q == nullptr ? nullptr : &quantized; }
};

class Transformer final : public Model {
 public:
  Transformer(OpContext& context, const ModelFile& file, const LoadOptions& options, const TransformerTraits& traits)
      : h_(file.hyperparameters()),
        traits_(traits),
        q_columns_(h_.heads * h_.head_dim),
        kv_columns_(h_.kv_heads * h_.head_dim),
        rope_(h_.rotary_dim, h_.rope_base, h_.rope_scaling, rope_factors(file), options.max_positions),
        window_rope_(h_.rotary_dim, h_.window_rope_base.value_or(h_.rope_base), RopeScaling(), {},
                     h_.window_rope_base ? options.max_positions : 0),
        // Quantised activations come in blocks of 32 columns; shapes that have none keep float32 ones.
        int8_(options.precision == Precision::int8 && h_.hidden % 32 == 0 && h_.feed_forward % 32 == 0 &&
              q_columns_ % 32 == 0),
        normed_(options.max_rows, h_.hidden, int8_),
        attended_(options.max_rows, q_columns_, int8_),
        activated_(options.max_rows, h_.feed_forward, int8_),
        head_in_(options.max_rows, h_.hidden, int8_),
        x_(options.max_rows * h_.hidden),
        delta_(options.max_rows * h_.hidden),
        q_(options.max_rows * q_columns_),
        k_(options.max_rows * kv_columns_),
        v_(options.max_rows * kv_columns_),
        gate_(options.max_rows * h_.feed_forward),
        up_(options.max_rows * h_.feed_forward) {
    load(context, file);
  }

  const Hyperparameters& hyperparameters() const override { return h_; }

  size_t weight_bytes() const override {
    size_t bytes = embedding_.bytes() + (h_.tied_head ? 0 : head_.bytes());
    for (const Block& block : blocks_)
      for (const PackedMatrix& linear : block.linears) bytes += linear.bytes();
    return bytes;
  }

  AdapterBase adapter_base() const override {
    AdapterBase base;
    base.layers = h_.layers;
    base.int8 = int8_;
    for (size_t i = 0; i < kLinearsPerLayer; ++i) {
      const auto [out, in] = shape(static_cast<Linear>(i));
      base.shapes[i] = {static_cast<uint32_t>(out), static_cast<uint32_t>(in)};
    }
    base.weight_row = [this](size_t layer, Linear linear, size_t row, float* out) {
      blocks_[layer][linear].dequantize_row(row, out);
    };
    return base;
  }

  void forward(OpContext& context, const KvLayout& kv, const Batch& batch, float* hidden) override {
    const size_t rows = batch.tokens.size();
    embed(context, batch.tokens);
    attention_runs_.clear();
    for (const BatchRun& run : batch.runs)
      attention_runs_.push_back({run.first_row, run.rows, run.first_position, run.pages});

    const float scale = static_cast<float>(h_.attention_scale.value_or(1.0 / std::sqrt(static_cast<double>(h_.head_dim))));
    const float eps = static_cast<float>(h_.norm_eps);
    const float* residual = nullptr;  // the last block's output, not yet added to x
    for (size_t layer = 0; layer < h_.layers; ++layer) {
      const Block& block = blocks_[layer];
      const bool windowed = h_.is_windowed(layer);
      const RopeTable& table = windowed && h_.window_rope_base ? window_rope_ : rope_;

      rms_norm(context, x_.data(), residual, block.attention_norm.data(), eps, rows, h_.hidden, normed_.values.data(),
               normed_.quantized_or_null());
      apply(context, batch, layer, normed_, h_.hidden,
            {{Linear::q, q_.data(), q_columns_}, {Linear::k, k_.data(), kv_columns_}, {Linear::v, v_.data(), kv_columns_}});
      norm_in_place(context, q_, block.q_norm, rows * h_.heads);
      norm_in_place(context, k_, block.k_norm, rows * h_.kv_heads);
      rope(context, table, q_.data(), q_columns_, rows, h_.heads, h_.head_dim, batch.positions.data());
      rope(context, table, k_.data(), kv_columns_, rows, h_.kv_heads, h_.head_dim, batch.positions.data());
      kv_write(context, kv, layer, attention_runs_, k_.data(), kv_columns_, v_.data(), kv_columns_);
      attention(context, kv, layer, attention_runs_, q_.data(), q_columns_, h_.heads, scale, windowed ? h_.window : 0,
                attended_.values.data(), q_columns_);
      if (int8_) quantize_rows(context, attended_.values.data(), rows, q_columns_, attended_.quantized);
      apply(context, batch, layer, attended_, q_columns_, {{Linear::o, delta_.data(), h_.hidden}});
      norm_in_place(context, delta_, block.attention_out_norm, rows);

      rms_norm(context, x_.data(), delta_.data(), block.feed_forward_norm.data(), eps, rows, h_.hidden,
               normed_.values.data(), normed_.quantized_or_null());
      apply(context, batch, layer, normed_, h_.hidden,
            {{Linear::gate, gate_.data(), h_.feed_forward}, {Linear::up, up_.data(), h_.feed_forward}});
      gated(context, traits_.activation, gate_.data(), up_.data(), rows, h_.feed_forward, activated_.values.data(),
            activated_.quantized_or_null());
      apply(context, batch, layer, activated_, h_.feed_forward, {{Linear::down, delta_.data(), h_.hidden}});
      norm_in_place(context, delta_, block.feed_forward_out_norm, rows);
      residual = delta_.data();
    }

    // Only the rows that sample go on: gathered first, so that the last norm is as small as the head.
    const size_t head_rows = batch.head_rows.size();
    for (size_t i = 0; i < head_rows; ++i) {
      const size_t row = batch.head_rows[i];
      std::memcpy(&normed_.values[i * h_.hidden], &x_[row * h_.hidden], h_.hidden * sizeof(float));
      std::memcpy(&head_in_.values[i * h_.hidden], &delta_[row * h_.hidden], h_.hidden * sizeof(float));
    }
    if (head_rows > 0)
      rms_norm(context, normed_.values.data(), head_in_.values.data(), final_norm_.data(), eps, head_rows, h_.hidden,
               hidden, nullptr);
  }

  void head(OpContext& context, const float* hidden, size_t rows, float* logits) override {
    const PackedMatrix& weight = h_.tied_head ? embedding_ : head_;
    if (int8_) quantize_rows(context, hidden, rows, h_.hidden, head_in_.quantized);
    const LinearCall call{&weight, hidden, head_in_.quantized_or_null(), logits, h_.vocabulary};
    linear(context, {&call, 1}, rows);
  }

 private:
  struct Output {
    Linear linear;
    float* y;
    size_t columns;
  };

  std::pair<size_t, size_t> shape(Linear linear) const {
    switch (linear) {
      case Linear::q: return {q_columns_, h_.hidden};
      case Linear::k: case Linear::v: return {kv_columns_, h_.hidden};
      case Linear::o: return {h_.hidden, q_columns_};
      case Linear::gate: case Linear::up: return {h_.feed_forward, h_.hidden};
      case Linear::down: return {h_.hidden, h_.feed_forward};
    }
    return {0, 0};
  }

  std::vector<float> rope_factors(const ModelFile& file) const {
    return file.find("rope_freqs.weight") ? file.floats("rope_freqs.weight", h_.rotary_dim / 2) : std::vector<float>();
  }

  void load(OpContext& context, const ModelFile& file) {
    WeightMemory memory;
    const auto pack = [&](const std::string& name, size_t rows, size_t columns, const uint32_t* row_source) {
      const Tensor& tensor = file.require(name, {rows, columns});
      return PackedMatrix::pack(context.pool, tensor.type, tensor.data, rows, columns, row_source, &memory);
    };
    const std::vector<uint32_t> q_rows = rotary_rows(h_.heads, h_.head_dim), k_rows = rotary_rows(h_.kv_heads, h_.head_dim);
    embedding_ = pack("model.embed_tokens.weight", h_.vocabulary, h_.hidden, nullptr);
    if (!h_.tied_head) head_ = pack("lm_head.weight", h_.vocabulary, h_.hidden, nullptr);
    final_norm_ = norm(file, "model.norm", h_.hidden);
    const bool interleaved = file.is_gguf() && traits_.interleaved_rotary_in_gguf;
    blocks_.resize(h_.layers);
    for (size_t layer = 0; layer < h_.layers; ++layer) {
      const std::string prefix = "model.layers." + std::to_string(layer) + ".";
      Block& block = blocks_[layer];
      block.attention_norm = norm(file, prefix + "input_layernorm", h_.hidden);
      if (traits_.norms_outputs) {
        block.attention_out_norm = norm(file, prefix + "post_attention_layernorm", h_.hidden);
        block.feed_forward_norm = norm(file, prefix + "pre_feedforward_layernorm", h_.hidden);
        block.feed_forward_out_norm = norm(file, prefix + "post_feedforward_layernorm", h_.hidden);
      } else {
        block.feed_forward_norm = norm(file, prefix + "post_attention_layernorm", h_.hidden);
      }
      if (traits_.norms_heads) {
        block.q_norm = norm(file, prefix + "self_attn.q_norm", h_.head_dim);
        block.k_norm = norm(file, prefix + "self_attn.k_norm", h_.head_dim);
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

  /// Weights of an RMSNorm, as they multiply.
  std::vector<float> norm(const ModelFile& file, const std::string& module, size_t size) const {
    std::vector<float> weight = file.floats(module + ".weight", size);
    if (traits_.norms_kept_less_one && !file.is_gguf())
      for (float& w : weight) w = 1.0f + w;
    return weight;
  }

  /// Normalises `rows` rows as long as `weight`; nothing where the block has no such norm.
  void norm_in_place(OpContext& context, std::vector<float>& x, const std::vector<float>& weight, size_t rows) {
    if (weight.empty()) return;
    rms_norm(context, x.data(), nullptr, weight.data(), static_cast<float>(h_.norm_eps), rows, weight.size(), x.data(), nullptr);
  }

  /// x_[row] = the embedding of tokens[row].
  void embed(OpContext& context, const std::vector<int32_t>& tokens) {
    context.pool.parallel_for(tokens.size(), [&](size_t row, size_t) {
      float* const x = &x_[row * h_.hidden];
      embedding_.dequantize_row(static_cast<size_t>(tokens[row]), x);
      if (!traits_.scales_embedding) return;
      const float scale = std::sqrt(static_cast<float>(h_.hidden));
      for (size_t i = 0; i < h_.hidden; ++i) x[i] *= scale;
    });
  }

  /// Linears that read the same rows: the base's weights over the whole batch, then each adapter's over its own rows,
  /// then biases (DoRA's magnitudes leave them out, as PEFT's do).
  void apply(OpContext& context, const Batch& batch, size_t layer, const Activations& in, size_t in_columns,
             std::initializer_list<Output> outputs) {
    LinearCall calls[3];
    size_t count = 0;
    for (const Output& output : outputs)
      calls[count++] = {&blocks_[layer][output.linear], in.values.data(), in.quantized_or_null(), output.y, output.columns};
    linear(context, {calls, count}, batch.tokens.size());

    lora_calls_.clear();
    size_t scratch = 0;
    for (size_t first = 0; first < batch.runs.size();) {
      const BatchRun& run = batch.runs[first];
      size_t last = first + 1, rows = run.rows;
      while (last < batch.runs.size() && batch.runs[last].adapter == run.adapter) rows += batch.runs[last++].rows;
      first = last;
      if (!run.adapter) continue;
      for (const Output& output : outputs) {
        const LoraMatrix* matrix = run.adapter->find(layer, output.linear);
        if (!matrix) continue;
        lora_calls_.push_back({matrix, in.values.data() + run.first_row * in_columns, in_columns,
                               output.y + run.first_row * output.columns, output.columns, rows,
                               nullptr});
        scratch += LoraCall::scratch_floats(*matrix, rows);
      }
    }
    if (!lora_calls_.empty()) add_adapters(context, scratch);
    for (const Output& output : outputs) {
      const std::vector<float>& bias = blocks_[layer].biases[static_cast<size_t>(output.linear)];
      if (!bias.empty()) add_bias(context, output.y, bias.data(), batch.tokens.size(), output.columns);
    }
  }

  /// Runs lora_calls_, whose intermediate rows take `scratch` floats.
  void add_adapters(OpContext& context, size_t scratch) {
    if (lora_scratch_.size() < scratch) lora_scratch_.resize(scratch);
    float* h = lora_scratch_.data();
    for (LoraCall& call : lora_calls_) {
      call.h = h;
      h += LoraCall::scratch_floats(*call.matrix, call.rows);
    }
    lora(context, lora_calls_);
  }

  const Hyperparameters h_;
  const TransformerTraits traits_;
  const size_t q_columns_, kv_columns_;
  const RopeTable rope_, window_rope_;  ///< window_rope_: empty unless the windowed layers turn otherwise
  const bool int8_;
  PackedMatrix embedding_, head_;
  std::vector<float> final_norm_;
  std::vector<Block> blocks_;

  // Scratch of one step, sized for the largest batch.
  Activations normed_;     ///< [rows][hidden]
  Activations attended_;   ///< [rows][heads * head_dim]
  Activations activated_;  ///< [rows][feed_forward]
  Activations head_in_;    ///< [head rows][hidden]
  std::vector<float> x_;   ///< [rows][hidden], the residual stream
  std::vector<float> delta_;              ///< [rows][hidden], what a half block adds to it
  std::vector<float> q_, k_, v_;          ///< [rows][q_columns_ | kv_columns_]
  std::vector<float> gate_, up_;          ///< [rows][feed_forward]
  std::vector<AttentionRun> attention_runs_;
  std::vector<LoraCall> lora_calls_;
  std::vector<float> lora_scratch_;
};

}  // namespace

std::unique_ptr<Model> load_transformer(OpContext& context, const ModelFile& file, const Model::LoadOptions& options,
                                        const TransformerTraits& traits) {
  return std::make_unique<Transformer>(context, file, options, traits);
}

}  // namespace colophon
