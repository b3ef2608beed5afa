#pragma once

#include <string>

#include "model/model.h"
#include "ops/elementwise.h"

namespace colophon {

/// What sets the members of Llama's family apart beyond their hyperparameters: decoders with RMSNorm, rotary positions,
/// grouped-query attention and a gated MLP. Biases are used where the file has them.
struct TransformerTraits {
  /// GGUF keeps the rows of q and k with the two halves of a rotary pair side by side.
  bool interleaved_rotary_in_gguf = false;
  /// Each head's query and key are normalised before they turn (https://arxiv.org/abs/2302.05442).
  bool norms_heads = false;
  /// What attention and MLP give is normalised once more before it is added to the residual stream.
  bool norms_outputs = false;
  /// safetensors files keep a norm's weights less one; GGUF files keep them whole.
  bool norms_kept_less_one = false;
  /// Embeddings are multiplied with sqrt(hidden).
  bool scales_embedding = false;
  Activation activation = Activation::silu;
};

/// Declared at namespace scope in an architecture's file: `const TransformerRegistration kLlama("llama", {...})`.
struct TransformerRegistration {
  TransformerRegistration(const char* architecture, const TransformerTraits& traits);
};

/// Of a registered architecture. Throws Error(bad_model), naming those that there are.
const TransformerTraits& transformer_traits(const std::string& architecture);

}  // namespace colophon
