#include "trainer/trainer.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>

#include "engine/error.h"
#include "ops/matmul.h"
#include "ops/widen.h"
#include "trainer/counter_random.h"
#include "trainer/packed_examples.h"

namespace colophon {
namespace {

using Floats = std::vector<float>;

/// What the backward pass of a layer reads of the forward pass. Norms and activations are computed again: they are cheap.
struct LayerState {
  Floats in, middle;                    ///< [rows][hidden], the residual stream before each half
  Floats q_before_norm, k_before_norm;  ///< of architectures that norm heads
  Floats q, k, v, attended;             ///< [rows][q_columns | kv_columns]
  Floats gate, up;                      ///< [rows][feed_forward]
  Floats low[kLinearsPerLayer];         ///< [rows][rank]: x * A^T of each trained linear
};

/// Rows of logits that are held at once, and rows of the head's weight.
constexpr size_t kLossRows = 192, kHeadRows = 4096;

void check(const TrainingExample& example, size_t index, size_t max_rows, size_t vocabulary) {
  const auto refuse = [&](const std::string& what) {
    throw Error(ErrorCode::invalid_argument, "example " + std::to_string(index) + ": " + what);
  };
  if (example.tokens.empty()) refuse("it has no tokens");
  if (example.tokens.size() > max_rows)
    refuse("it has " + std::to_string(example.tokens.size()) + " tokens; at most " + std::to_string(max_rows) + " are possible");
  if (example.weights.size() != example.tokens.size())
    refuse("it has " + std::to_string(example.weights.size()) + " weights for " + std::to_string(example.tokens.size()) + " tokens");
  if (example.weights[0] != 0) refuse("its first token has a weight, but nothing is before it");
  for (const int32_t token : example.tokens)
    if (token < 0 || static_cast<size_t>(token) >= vocabulary)
      refuse("its token " + std::to_string(token) + " is not in the vocabulary of " + std::to_string(vocabulary));
  for (const float weight : example.weights)
    if (!(weight >= 0) || !std::isfinite(weight)) refuse("a weight is " + std::to_string(weight) + ", which must be 0 or more");
}

}  // namespace

/// One batch's way through the layers and back, and its memory.
class Trainer::Pass {
 public:
  Pass(OpContext& context, const TransformerWeights& weights, const TrainableAdapter& adapter, const TrainerOptions& options)
      : context_(context), w_(weights), h_(weights.h), adapter_(adapter), rows_most_(options.max_rows) {
    if (w_.traits.norms_outputs || w_.traits.activation != Activation::silu)
      throw Error(ErrorCode::unsupported, "models of the architecture \"" + h_.architecture + "\" cannot be trained here");
    const size_t hidden = h_.hidden, wide = std::max({h_.feed_forward, w_.q_columns, hidden});
    for (Floats* floats : {&x_, &dx_, &normed_, &delta_}) floats->resize(rows_most_ * hidden);
    for (Floats* floats : {&dq_, &wide_, &dattended_}) floats->resize(rows_most_ * w_.q_columns);
    for (Floats* floats : {&dk_, &dv_}) floats->resize(rows_most_ * w_.kv_columns);
    for (Floats* floats : {&activated_, &dgate_, &dup_}) floats->resize(rows_most_ * h_.feed_forward);
    size_t largest = 0, rank = 0;
    for (size_t i = 0; i < kLinearsPerLayer; ++i) {
      const auto [out, in] = w_.shape(static_cast<Linear>(i));
      largest = std::max({largest, out * ((in + 15) / 16 * 16), in * ((out + 15) / 16 * 16)});
    }
    for (const TrainableModule& module : adapter.modules()) rank = std::max<size_t>(rank, module.module.rank);
    weight_.resize(std::max(largest, std::min(kHeadRows, h_.vocabulary) * ((hidden + 15) / 16 * 16)));
    for (Floats* floats : {&low_, &dlow_}) floats->resize(rows_most_ * rank);
    dropped_.resize(rows_most_ * wide);
    for (Floats* floats : {&head_in_, &head_normed_, &dhead_}) floats->resize(rows_most_ * hidden);
    logits_.resize(kLossRows * h_.vocabulary);
    // Of the last layers all is kept, of as many as there is room for; of those before, down to the first trained one, the input.
    const size_t first = adapter.first_layer();
    size(spare_, 0);
    const size_t state_bytes = bytes_of(spare_);
    const size_t kept = std::min(h_.layers - first, options.activation_bytes / std::max<size_t>(state_bytes, 1));
    first_kept_ = h_.layers - kept;
    kept_.resize(kept);
    for (size_t i = 0; i < kept; ++i) size(kept_[i], first_kept_ + i);
    inputs_.resize(first_kept_);
    for (size_t layer = first; layer < first_kept_; ++layer) inputs_[layer].resize(rows_most_ * hidden);
  }

  size_t bytes() const {
    size_t floats = 0;
    for (const Floats* f : {&x_, &dx_, &normed_, &delta_, &dq_, &dk_, &dv_, &wide_, &dattended_, &activated_, &dgate_, &dup_, &weight_,
                            &low_, &dlow_, &dropped_, &head_in_, &head_normed_, &dhead_, &logits_})
      floats += f->size();
    for (const Floats& input : inputs_) floats += input.size();
    size_t bytes = floats * sizeof(float) + bytes_of(spare_);
    for (const LayerState& state : kept_) bytes += bytes_of(state);
    return bytes;
  }

  /// Losses of all; where `sums` is not null, gradients too, where `states` is not, [examples][hidden] of zeros, states. `adapted`:
  /// with the adapter.
  std::vector<ExampleLoss> run(std::span<const TrainingExample> examples, std::span<const float> factors, const Dropout& dropout,
                               float* sums, bool adapted = true, float* states = nullptr) {
    for (size_t i = 0; i < examples.size(); ++i) check(examples[i], i, rows_most_, h_.vocabulary);
    std::vector<ExampleLoss> losses(examples.size());
    dropout_ = dropout;
    adapted_ = adapted;
    for (size_t first = 0; first < examples.size();) {
      // What is dropped differs from example to example.
      const size_t taken = pack_.take(examples.subspan(first), rows_most_, dropout.rate == 0);
      if (pack_.rows() > 0) {
        rows_ = pack_.rows();
        row_ids_.resize(rows_);
        for (size_t row = 0; row < rows_; ++row)
          row_ids_[row] = mix64(dropout.first_example + first + pack_.examples()[row]) + pack_.positions()[row];
        forward(sums != nullptr);
        loss(sums == nullptr ? nullptr : &factors[first], &losses[first]);
        if (states != nullptr) add_states(states + first * h_.hidden, &losses[first], taken);
        if (sums != nullptr) backward(sums);
      }
      first += taken;
    }
    return losses;
  }

  void target_gradients(const TrainingExample& example, float factor, const std::function<void(std::span<const float>)>& receive) {
    check(example, 0, rows_most_, h_.vocabulary);
    dropout_ = {};
    adapted_ = true;
    pack_.take({&example, 1}, rows_most_, true);
    rows_ = pack_.rows();
    if (rows_ == 0) return;
    forward(true);
    ExampleLoss whole;
    loss(&factor, &whole);
    const Floats slopes(normed_.begin(), normed_.begin() + static_cast<std::ptrdiff_t>(pack_.targets().size() * h_.hidden));
    Floats sums(adapter_.values().size());
    for (size_t i = 0; i < pack_.targets().size(); ++i) {
      std::fill_n(dx_.begin(), rows_ * h_.hidden, 0.0f);
      std::copy_n(&slopes[i * h_.hidden], h_.hidden, &dx_[pack_.targets()[i].row * h_.hidden]);
      std::fill(sums.begin(), sums.end(), 0.0f);
      backward(sums.data());
      receive(sums);
    }
  }

 private:
  void size(LayerState& state, size_t layer) const {
    for (Floats* floats : {&state.in, &state.middle}) floats->resize(rows_most_ * h_.hidden);
    for (Floats* floats : {&state.q, &state.attended}) floats->resize(rows_most_ * w_.q_columns);
    for (Floats* floats : {&state.k, &state.v}) floats->resize(rows_most_ * w_.kv_columns);
    for (Floats* floats : {&state.gate, &state.up}) floats->resize(rows_most_ * h_.feed_forward);
    if (w_.traits.norms_heads) {
      state.q_before_norm.resize(rows_most_ * w_.q_columns);
      state.k_before_norm.resize(rows_most_ * w_.kv_columns);
    }
    for (size_t i = 0; i < kLinearsPerLayer; ++i) {
      uint32_t rank = 0;  // of the spare: the largest of any layer
      for (const TrainableModule& module : adapter_.modules())
        if (module.module.linear == static_cast<Linear>(i) && (&state == &spare_ || module.module.layer == layer))
          rank = std::max(rank, module.module.rank);
      state.low[i].resize(rows_most_ * rank);
    }
  }
  static size_t bytes_of(const LayerState& state) {
    size_t floats = 0;
    for (const Floats* f : {&state.in, &state.middle, &state.q_before_norm, &state.k_before_norm, &state.q, &state.k, &state.v,
                            &state.attended, &state.gate, &state.up})
      floats += f->size();
    for (const Floats& low : state.low) floats += low.size();
    return floats * sizeof(float);
  }
  LayerState& state(size_t layer) { return layer >= first_kept_ ? kept_[layer - first_kept_] : spare_; }

  void forward(bool keep) {
    w_.embed(context_, pack_.tokens(), x_.data());
    for (size_t layer = 0; layer < h_.layers; ++layer) {
      if (keep && layer >= adapter_.first_layer() && layer < first_kept_) std::memcpy(inputs_[layer].data(), x_.data(), rows_ * h_.hidden * sizeof(float));
      forward_layer(layer, x_.data(), state(layer));
    }
  }

  /// x: the layer's input, then its output.
  void forward_layer(size_t layer, float* x, LayerState& s) {
    const TransformerBlock& block = w_.blocks[layer];
    const size_t hidden = h_.hidden;
    std::memcpy(s.in.data(), x, rows_ * hidden * sizeof(float));
    norm(x, block.attention_norm, rows_, normed_.data());
    linears(layer, normed_.data(), {{Linear::q, s.q.data()}, {Linear::k, s.k.data()}, {Linear::v, s.v.data()}}, s);
    if (w_.traits.norms_heads) {
      std::memcpy(s.q_before_norm.data(), s.q.data(), rows_ * w_.q_columns * sizeof(float));
      std::memcpy(s.k_before_norm.data(), s.k.data(), rows_ * w_.kv_columns * sizeof(float));
      norm(s.q.data(), block.q_norm, rows_ * h_.heads, s.q.data());
      norm(s.k.data(), block.k_norm, rows_ * h_.kv_heads, s.k.data());
    }
    rope(context_, w_.rope(layer), s.q.data(), w_.q_columns, rows_, h_.heads, h_.head_dim, pack_.positions().data());
    rope(context_, w_.rope(layer), s.k.data(), w_.kv_columns, rows_, h_.kv_heads, h_.head_dim, pack_.positions().data());
    attention_forward(context_, attention_shape(layer), pack_.segments(), s.q.data(), s.k.data(), s.v.data(), s.attended.data());
    linears(layer, s.attended.data(), {{Linear::o, delta_.data()}}, s);
    add(context_, x, delta_.data(), rows_, hidden);

    std::memcpy(s.middle.data(), x, rows_ * hidden * sizeof(float));
    norm(x, block.feed_forward_norm, rows_, normed_.data());
    linears(layer, normed_.data(), {{Linear::gate, s.gate.data()}, {Linear::up, s.up.data()}}, s);
    gated(context_, w_.traits.activation, s.gate.data(), s.up.data(), rows_, h_.feed_forward, activated_.data(), nullptr);
    linears(layer, activated_.data(), {{Linear::down, delta_.data()}}, s);
    add(context_, x, delta_.data(), rows_, hidden);
  }

  /// Losses of the pass's examples; with factors, dx_ becomes the gradient of the last layer's output.
  void loss(const float* factors, ExampleLoss* losses) {
    const bool gradient = factors != nullptr;
    const std::vector<PackedExamples::Target>& places = pack_.targets();
    std::vector<int32_t> targets;
    Floats slopes;
    for (const PackedExamples::Target& place : places) {
      targets.push_back(place.token);
      if (gradient) slopes.push_back(place.weight * factors[place.example]);
    }
    const size_t hidden = h_.hidden, count = places.size();
    for (size_t i = 0; i < count; ++i)
      std::memcpy(&head_in_[i * hidden], &x_[places[i].row * hidden], hidden * sizeof(float));
    norm(head_in_.data(), w_.final_norm, count, head_normed_.data());
    std::vector<TokenLoss> token_losses(count);
    for (size_t first = 0; first < count; first += kLossRows) {
      const size_t rows = std::min(kLossRows, count - first);
      const LinearCall call{&w_.head(), &head_normed_[first * hidden], nullptr, logits_.data(), h_.vocabulary};
      linear(context_, {&call, 1}, rows);
      cross_entropy(context_, logits_.data(), &targets[first], gradient ? &slopes[first] : nullptr, rows, h_.vocabulary,
                    &token_losses[first]);
      if (gradient) head_backward(rows, &dhead_[first * hidden]);
    }
    for (size_t i = 0; i < count; ++i) {
      ExampleLoss& of = losses[places[i].example];
      of.loss += static_cast<double>(places[i].weight) * static_cast<double>(token_losses[i].loss);
      of.weight += static_cast<double>(places[i].weight);
      ++of.targets;
      of.greedy += token_losses[i].greedy;
    }
    if (!gradient) return;
    std::fill_n(normed_.begin(), count * hidden, 0.0f);
    rms_norm_backward(context_, head_in_.data(), w_.final_norm.data(), eps(), dhead_.data(), count, hidden, normed_.data());
    std::fill_n(dx_.begin(), rows_ * hidden, 0.0f);
    for (size_t i = 0; i < count; ++i)  // a row may tell the targets of several examples
      for (size_t column = 0; column < hidden; ++column) dx_[places[i].row * hidden + column] += normed_[i * hidden + column];
  }

  /// states[examples][hidden] += the mean of the rows that each example's targets were told from; after loss().
  void add_states(float* states, const ExampleLoss* losses, size_t examples) const {
    const size_t hidden = h_.hidden;
    const std::vector<PackedExamples::Target>& places = pack_.targets();
    for (size_t i = 0; i < places.size(); ++i)
      for (size_t column = 0; column < hidden; ++column)
        states[places[i].example * hidden + column] += head_normed_[i * hidden + column];
    for (size_t example = 0; example < examples; ++example)
      for (size_t column = 0; column < hidden && losses[example].targets > 0; ++column)
        states[example * hidden + column] /= static_cast<float>(losses[example].targets);
  }

  /// dhidden[rows][hidden] from the logits' gradients in logits_.
  void head_backward(size_t rows, float* dhidden) {
    for (size_t first = 0; first < h_.vocabulary; first += kHeadRows) {
      const size_t depth = std::min(kHeadRows, h_.vocabulary - first);
      widen(w_.head(), first, depth);
      const MatmulCall call{&logits_[first], h_.vocabulary, 1, weight_.data(), 0, 0, dhidden, h_.hidden, rows, h_.hidden, depth,
                            first > 0, depth * 16};
      matmul(context_, {&call, 1});
    }
  }

  void backward(float* sums) {
    for (size_t layer = h_.layers; layer-- > adapter_.first_layer();) {
      LayerState& s = state(layer);
      if (layer < first_kept_) {
        std::memcpy(x_.data(), inputs_[layer].data(), rows_ * h_.hidden * sizeof(float));
        forward_layer(layer, x_.data(), s);
      }
      backward_layer(layer, s, sums);
    }
  }

  /// dx_: the gradient of the layer's output, then that of its input.
  void backward_layer(size_t layer, LayerState& s, float* sums) {
    const TransformerBlock& block = w_.blocks[layer];
    const size_t hidden = h_.hidden, wide = h_.feed_forward;
    gated(context_, w_.traits.activation, s.gate.data(), s.up.data(), rows_, wide, activated_.data(), nullptr);
    back(layer, Linear::down, dx_.data(), activated_.data(), dgate_.data(), false, s, sums);
    gated_backward(context_, w_.traits.activation, s.gate.data(), s.up.data(), dgate_.data(), rows_, wide, dgate_.data(), dup_.data());
    norm(s.middle.data(), block.feed_forward_norm, rows_, normed_.data());
    back(layer, Linear::gate, dgate_.data(), normed_.data(), delta_.data(), false, s, sums);
    back(layer, Linear::up, dup_.data(), normed_.data(), delta_.data(), true, s, sums);
    rms_norm_backward(context_, s.middle.data(), block.feed_forward_norm.data(), eps(), delta_.data(), rows_, hidden, dx_.data());

    back(layer, Linear::o, dx_.data(), s.attended.data(), dattended_.data(), false, s, sums);
    attention_backward(context_, attention_shape(layer), pack_.segments(), s.q.data(), s.k.data(), s.v.data(), dattended_.data(), dq_.data(),
                       dk_.data(), dv_.data());
    unrope(layer, dq_.data(), h_.heads);
    unrope(layer, dk_.data(), h_.kv_heads);
    if (w_.traits.norms_heads) {
      head_norm_backward(s.q_before_norm, block.q_norm, h_.heads, dq_);
      head_norm_backward(s.k_before_norm, block.k_norm, h_.kv_heads, dk_);
    }
    norm(s.in.data(), block.attention_norm, rows_, normed_.data());
    float* const below = layer > adapter_.first_layer() ? delta_.data() : nullptr;  // nothing is trained below the first
    back(layer, Linear::q, dq_.data(), normed_.data(), below, false, s, sums);
    back(layer, Linear::k, dk_.data(), normed_.data(), below, true, s, sums);
    back(layer, Linear::v, dv_.data(), normed_.data(), below, true, s, sums);
    if (below != nullptr)
      rms_norm_backward(context_, s.in.data(), block.attention_norm.data(), eps(), below, rows_, hidden, dx_.data());
  }

  struct Output {
    Linear linear;
    float* y;
  };

  /// Linears that read the same rows, with what the adapter adds and their biases.
  void linears(size_t layer, const float* x, std::initializer_list<Output> outputs, LayerState& s) {
    for (const Output& output : outputs) {
      const PackedMatrix& weight = w_.blocks[layer][output.linear];
      const auto [out, in] = w_.shape(output.linear);
      context_.pool.parallel_for((out + 15) / 16, [&, width = in](size_t group, size_t) {
        widen_columns(context_.isa, weight, group, &weight_[group * 16 * width]);
      });
      MatmulCall product{x, in, 1, weight_.data(), 0, 0, output.y, out, rows_, out, in, false, in * 16};
      MatmulCall up{};
      if (const TrainableModule* module = adapted_ ? adapter_.find(layer, output.linear) : nullptr; module != nullptr) {
        const size_t rank = module->module.rank;
        float* const low = s.low[static_cast<size_t>(output.linear)].data();
        const MatmulCall down{dropped(*module, x), in, 1, a(*module), 1, in, low, rank, rows_, rank, in};
        matmul(context_, {&down, 1});
        up = {scaled(*module, low), rank, 1, b(*module), out, 1, output.y, out, rows_, out, rank, true};
        product.then = &up;
      }
      matmul(context_, {&product, 1});
      const Floats& bias = w_.blocks[layer].bias(output.linear);
      if (!bias.empty()) add_bias(context_, output.y, bias.data(), rows_, out);
    }
  }

  /// Of one linear: dx (+)= dy * W (null: not wanted) and, where it is trained, the gradients of A and B.
  void back(size_t layer, Linear linear, const float* dy, const float* x, float* dx, bool accumulate, LayerState& s, float* sums) {
    const auto [out, in] = w_.shape(linear);
    const TrainableModule* module = adapter_.find(layer, linear);
    MatmulCall product{dy, out, 1, weight_.data(), 0, 0, dx, in, rows_, in, out, accumulate, out * 16};
    MatmulCall through{};  // what goes through A and B
    const bool drops = dropout_.rate > 0;
    if (module != nullptr) {
      const size_t rank = module->module.rank;
      const MatmulCall low{dy, out, 1, b(*module), 1, out, dlow_.data(), rank, rows_, rank, out};
      matmul(context_, {&low, 1});
      scale(context_, dlow_.data(), module->module.scaling, rows_ * rank);
      const MatmulCall gradients[] = {
          {scaled(*module, s.low[static_cast<size_t>(linear)].data()), 1, rank, dy, out, 1, sums + module->b, out, rank, out, rows_, true},
          {dlow_.data(), 1, rank, dropped(*module, x), in, 1, sums + module->a, in, rank, in, rows_, true}};
      matmul(context_, gradients);
      through = {dlow_.data(), rank, 1, a(*module), in, 1, drops ? dropped_.data() : dx, in, rows_, in, rank, !drops};
      if (!drops) product.then = &through;
    }
    if (dx == nullptr) return;
    widen(w_.blocks[layer][linear], 0, out);
    matmul(context_, {&product, 1});
    if (module == nullptr || !drops) return;
    matmul(context_, {&through, 1});
    drop(*module, dropped_.data(), dropped_.data());
    add(context_, dx, dropped_.data(), rows_, in);
  }

  const float* a(const TrainableModule& module) const { return adapter_.values().data() + module.a; }
  const float* b(const TrainableModule& module) const { return adapter_.values().data() + module.b; }

  /// low_ = scaling * low
  const float* scaled(const TrainableModule& module, const float* low) {
    const size_t count = rows_ * module.module.rank;
    for (size_t i = 0; i < count; ++i) low_[i] = module.module.scaling * low[i];
    return low_.data();
  }

  /// x as the module's LoRA sees it: with dropout, in dropped_.
  const float* dropped(const TrainableModule& module, const float* x) {
    if (dropout_.rate == 0) return x;
    drop(module, x, dropped_.data());
    return dropped_.data();
  }
  void drop(const TrainableModule& module, const float* x, float* out) {
    const uint64_t key = random_bits(dropout_.seed, module.module.layer * kLinearsPerLayer + static_cast<size_t>(module.module.linear));
    const auto threshold = static_cast<uint32_t>(static_cast<double>(dropout_.rate) * 65536.0);
    const float factor = 1.0f / (1.0f - dropout_.rate);
    context_.pool.parallel_for(rows_, [&](size_t row, size_t) {
      for (size_t i = 0; i < module.in; i += 4) {
        const uint64_t bits = random_bits(key ^ row_ids_[row], i);
        for (size_t j = i; j < std::min<size_t>(i + 4, module.in); ++j) {
          const uint32_t drawn = static_cast<uint32_t>(bits >> (16 * (j - i))) & 0xffff;
          out[row * module.in + j] = drawn < threshold ? 0 : x[row * module.in + j] * factor;
        }
      }
    });
  }

  /// weight_ = rows of a matrix in float32, in panels; `first` is a multiple of 16.
  void widen(const PackedMatrix& matrix, size_t first, size_t rows) {
    context_.pool.parallel_for((rows + 15) / 16, [&](size_t group, size_t) {
      widen_rows(context_.isa, matrix, first / 16 + group, group * 16, rows, weight_.data());
    });
  }

  void norm(const float* x, const Floats& weight, size_t rows, float* out) {
    rms_norm(context_, const_cast<float*>(x), nullptr, weight.data(), eps(), rows, weight.size(), out, nullptr);
  }
  void head_norm_backward(const Floats& before, const Floats& weight, size_t heads, Floats& d) {
    const size_t rows = rows_ * heads;
    std::fill_n(wide_.begin(), rows * h_.head_dim, 0.0f);
    rms_norm_backward(context_, before.data(), weight.data(), eps(), d.data(), rows, h_.head_dim, wide_.data());
    std::memcpy(d.data(), wide_.data(), rows * h_.head_dim * sizeof(float));
  }
  /// The gradient turns back by the angles by which its rows were turned.
  void unrope(size_t layer, float* d, size_t heads) {
    rope_back(context_, w_.rope(layer), d, heads * h_.head_dim, rows_, heads, h_.head_dim, pack_.positions().data());
  }
  float eps() const { return static_cast<float>(h_.norm_eps); }
  AttentionShape attention_shape(size_t layer) const {
    return {h_.heads, h_.kv_heads, h_.head_dim, w_.window(layer), w_.attention_scale()};
  }

  OpContext& context_;
  const TransformerWeights& w_;
  const Hyperparameters& h_;
  const TrainableAdapter& adapter_;
  const size_t rows_most_;
  size_t first_kept_ = 0;  ///< the first layer whose state is kept

  // The batch.
  size_t rows_ = 0;
  PackedExamples pack_;
  std::vector<uint64_t> row_ids_;  ///< of dropout
  Dropout dropout_;
  bool adapted_ = true;

  std::vector<Floats> inputs_;  ///< [layer] of those that are computed again
  std::vector<LayerState> kept_;
  LayerState spare_;  ///< of the layer that is computed again
  Floats x_, dx_, normed_, delta_;                 ///< [rows][hidden]
  Floats dq_, dattended_, wide_, dk_, dv_;         ///< [rows][q_columns | kv_columns]
  Floats activated_, dgate_, dup_;                 ///< [rows][feed_forward]
  Floats weight_;                                  ///< a linear, or some rows of the head, in float32
  Floats low_, dlow_;                              ///< [rows][rank]
  Floats dropped_;                                 ///< [rows][the widest input]
  Floats head_in_, head_normed_, dhead_, logits_;  ///< [targets][hidden], [kLossRows][vocabulary]
};

Trainer::Trainer(OpContext& context, const TransformerWeights& weights, const TrainableAdapter& adapter,
                 const TrainerOptions& options)
    : pass_(std::make_unique<Pass>(context, weights, adapter, options)) {}
Trainer::~Trainer() = default;

std::vector<ExampleLoss> Trainer::evaluate(std::span<const TrainingExample> examples) {
  return pass_->run(examples, {}, {}, nullptr);
}

std::vector<ExampleLoss> Trainer::evaluate_base(std::span<const TrainingExample> examples) {
  return pass_->run(examples, {}, {}, nullptr, false);
}

std::vector<ExampleLoss> Trainer::gradients(std::span<const TrainingExample> examples, std::span<const float> factors,
                                            const Dropout& dropout, std::span<float> sums) {
  return pass_->run(examples, factors, dropout, sums.data());
}

std::vector<ExampleLoss> Trainer::states(std::span<const TrainingExample> examples, std::span<float> states) {
  std::fill(states.begin(), states.end(), 0.0f);
  return pass_->run(examples, {}, {}, nullptr, true, states.data());
}

void Trainer::target_gradients(const TrainingExample& example, float factor,
                               const std::function<void(std::span<const float>)>& receive) {
  pass_->target_gradients(example, factor, receive);
}

size_t Trainer::bytes() const { return pass_->bytes(); }

}  // namespace colophon
