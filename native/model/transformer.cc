#include "model/transformer.h"

#include <cstring>
#include <map>

#include "engine/error.h"
#include "model/transformer_weights.h"
#include "ops/elementwise.h"
#include "ops/linear.h"
#include "ops/lora.h"

namespace colophon {
namespace {

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

std::map<std::string, TransformerTraits>& architectures() {
  static std::map<std::string, TransformerTraits> all;
  return all;
}

struct LoadOptions {
  Precision precision;
  size_t max_rows, max_positions;
};

class Transformer final : public Model {
 public:
  Transformer(OpContext& context, const ModelFile& file, const LoadOptions& options, const TransformerTraits& traits)
      : w_(context, file, traits, options.max_positions),
        h_(w_.h),
        q_columns_(w_.q_columns),
        kv_columns_(w_.kv_columns),
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
        up_(options.max_rows * h_.feed_forward) {}

  const Hyperparameters& hyperparameters() const override { return h_; }

  size_t weight_bytes() const override { return w_.bytes(); }

  AdapterBase adapter_base() const override {
    AdapterBase base = w_.adapter_base();
    base.int8 = int8_;
    return base;
  }

  void forward(OpContext& context, const KvLayout& kv, const Batch& batch, float* hidden) override {
    const size_t rows = batch.tokens.size();
    w_.embed(context, batch.tokens, x_.data());
    attention_runs_.clear();
    for (const BatchRun& run : batch.runs)
      attention_runs_.push_back({run.first_row, run.rows, run.first_position, run.pages});

    const float scale = w_.attention_scale();
    const float eps = static_cast<float>(h_.norm_eps);
    const float* residual = nullptr;  // the last block's output, not yet added to x
    for (size_t layer = 0; layer < h_.layers; ++layer) {
      const TransformerBlock& block = w_.blocks[layer];
      const RopeTable& table = w_.rope(layer);

      rms_norm(context, x_.data(), residual, block.attention_norm.data(), eps, rows, h_.hidden, normed_.values.data(),
               normed_.quantized_or_null());
      apply(context, batch, layer, normed_, h_.hidden,
            {{Linear::q, q_.data(), q_columns_}, {Linear::k, k_.data(), kv_columns_}, {Linear::v, v_.data(), kv_columns_}});
      norm_in_place(context, q_, block.q_norm, rows * h_.heads);
      norm_in_place(context, k_, block.k_norm, rows * h_.kv_heads);
      rope(context, table, q_.data(), q_columns_, rows, h_.heads, h_.head_dim, batch.positions.data());
      rope(context, table, k_.data(), kv_columns_, rows, h_.kv_heads, h_.head_dim, batch.positions.data());
      kv_write(context, kv, layer, attention_runs_, k_.data(), kv_columns_, v_.data(), kv_columns_);
      attention(context, kv, layer, attention_runs_, q_.data(), q_columns_, h_.heads, scale, w_.window(layer),
                attended_.values.data(), q_columns_);
      if (int8_) quantize_rows(context, attended_.values.data(), rows, q_columns_, attended_.quantized);
      apply(context, batch, layer, attended_, q_columns_, {{Linear::o, delta_.data(), h_.hidden}});
      norm_in_place(context, delta_, block.attention_out_norm, rows);

      rms_norm(context, x_.data(), delta_.data(), block.feed_forward_norm.data(), eps, rows, h_.hidden,
               normed_.values.data(), normed_.quantized_or_null());
      apply(context, batch, layer, normed_, h_.hidden,
            {{Linear::gate, gate_.data(), h_.feed_forward}, {Linear::up, up_.data(), h_.feed_forward}});
      gated(context, w_.traits.activation, gate_.data(), up_.data(), rows, h_.feed_forward, activated_.values.data(),
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
      rms_norm(context, normed_.values.data(), head_in_.values.data(), w_.final_norm.data(), eps, head_rows, h_.hidden,
               hidden, nullptr);
  }

  void head(OpContext& context, const float* hidden, size_t rows, float* logits) override {
    if (int8_) quantize_rows(context, hidden, rows, h_.hidden, head_in_.quantized);
    const LinearCall call{&w_.head(), hidden, head_in_.quantized_or_null(), logits, h_.vocabulary};
    linear(context, {&call, 1}, rows);
  }

 private:
  struct Output {
    Linear linear;
    float* y;
    size_t columns;
  };

  /// Normalises `rows` rows as long as `weight`; nothing where the block has no such norm.
  void norm_in_place(OpContext& context, std::vector<float>& x, const std::vector<float>& weight, size_t rows) {
    if (weight.empty()) return;
    rms_norm(context, x.data(), nullptr, weight.data(), static_cast<float>(h_.norm_eps), rows, weight.size(), x.data(), nullptr);
  }

  /// Linears that read the same rows: the base's weights over the whole batch, then each adapter's over its own rows,
  /// then biases (DoRA's magnitudes leave them out, as PEFT's do).
  void apply(OpContext& context, const Batch& batch, size_t layer, const Activations& in, size_t in_columns,
             std::initializer_list<Output> outputs) {
    LinearCall calls[3];
    size_t count = 0;
    for (const Output& output : outputs)
      calls[count++] = {&w_.blocks[layer][output.linear], in.values.data(), in.quantized_or_null(), output.y, output.columns};
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
      const std::vector<float>& bias = w_.blocks[layer].bias(output.linear);
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

  const TransformerWeights w_;
  const Hyperparameters& h_;
  const size_t q_columns_, kv_columns_;
  const bool int8_;

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

TransformerRegistration::TransformerRegistration(const char* architecture, const TransformerTraits& traits) {
  architectures()[architecture] = traits;
}

const TransformerTraits& transformer_traits(const std::string& architecture) {
  const auto found = architectures().find(architecture);
  if (found != architectures().end()) return found->second;
  std::string known;
  for (const auto& [name, traits] : architectures()) known += (known.empty() ? "" : ", ") + name;
  throw Error(ErrorCode::bad_model, "the model's architecture is \"" + architecture + "\"; this engine has " + known);
}

std::unique_ptr<Model> Model::load(OpContext& context, const ModelFile& file, Precision precision, size_t max_rows,
                                   size_t max_positions) {
  return std::make_unique<Transformer>(context, file, LoadOptions{precision, max_rows, max_positions},
                                       transformer_traits(file.hyperparameters().architecture));
}

}  // namespace colophon
