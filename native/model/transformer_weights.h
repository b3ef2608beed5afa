#pragma once

#include <string>
#include <utility>
#include <vector>

#include "adapters/lora_adapter.h"
#include "model/hyperparameters.h"
#include "model/model_file.h"
#include "model/transformer.h"
#include "ops/context.h"
#include "ops/linear.h"
#include "ops/rope.h"

namespace colophon {

/// Norms and biases that the architecture or the file lacks are empty.
struct TransformerBlock {
  std::vector<float> attention_norm, feed_forward_norm;          ///< [hidden], before each half
  std::vector<float> attention_out_norm, feed_forward_out_norm;  ///< [hidden], behind it
  std::vector<float> q_norm, k_norm;                             ///< [head_dim]
  PackedMatrix linears[kLinearsPerLayer];
  std::vector<float> biases[kLinearsPerLayer];  ///< [rows of the linear]
  const PackedMatrix& operator[](Linear linear) const { return linears[static_cast<size_t>(linear)]; }
  const std::vector<float>& bias(Linear linear) const { return biases[static_cast<size_t>(linear)]; }
};

/// A transformer's weights as they were read, frozen: what serving and training have in common.
class TransformerWeights {
 public:
  /// `max_positions`: of the longest sequence.
  TransformerWeights(OpContext& context, const ModelFile& file, const TransformerTraits& traits, size_t max_positions);

  size_t bytes() const;
  /// [out, in] of a linear.
  std::pair<size_t, size_t> shape(Linear linear) const;
  float attention_scale() const;
  /// Positions that a row of the layer sees; 0: all before it.
  size_t window(size_t layer) const { return h.is_windowed(layer) ? h.window : 0; }
  const RopeTable& rope(size_t layer) const { return h.is_windowed(layer) && h.window_rope_base ? window_rope_ : rope_; }
  const PackedMatrix& head() const { return h.tied_head ? embedding : head_; }
  /// x[rows][hidden] = the tokens' embeddings.
  void embed(OpContext& context, const std::vector<int32_t>& tokens, float* x) const;
  /// What an adapter on these weights is checked against; valid as long as they are.
  AdapterBase adapter_base() const;

  const Hyperparameters h;
  const TransformerTraits traits;
  const size_t q_columns, kv_columns;
  PackedMatrix embedding;
  std::vector<float> final_norm;
  std::vector<TransformerBlock> blocks;

 private:
  const RopeTable rope_, window_rope_;  ///< window_rope_: empty unless the windowed layers turn otherwise
  PackedMatrix head_;                   ///< empty where the embedding is the head
};

}  // namespace colophon
