#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "ops/elementwise.h"

namespace colophon {

/// The shape of a transformer, under Hugging Face's names where there is one.
struct Hyperparameters {
  std::string architecture;  ///< "llama", "qwen2", ...: the files of this folder
  size_t layers = 0, hidden = 0, heads = 0, kv_heads = 0, head_dim = 0, feed_forward = 0, vocabulary = 0;
  size_t context = 0;        ///< max_position_embeddings
  double rope_base = 10000;
  RopeScaling rope_scaling;
  size_t rotary_dim = 0;     ///< head_dim unless the file says otherwise
  double norm_eps = 1e-5;
  bool tied_head = false;
  size_t window = 0;                       ///< positions that a windowed layer sees, the row's own included
  std::vector<bool> windowed;              ///< [layers], or empty: none is
  std::optional<double> window_rope_base;  ///< of the windowed layers, unscaled; default: as in the others
  std::optional<double> attention_scale;   ///< default 1 / sqrt(head_dim)

  bool is_windowed(size_t layer) const { return !windowed.empty() && windowed[layer]; }
};

/// The linears of a transformer block that an adapter may change, in this order everywhere.
enum class Linear : unsigned char { q, k, v, o, gate, up, down };
constexpr size_t kLinearsPerLayer = 7;

/// Hugging Face's module path below `model.layers.N.`, e.g. "self_attn.q_proj".
constexpr const char* module_path(Linear linear) {
  constexpr const char* kPaths[] = {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj",
                                    "mlp.gate_proj",    "mlp.up_proj",      "mlp.down_proj"};
  return kPaths[static_cast<size_t>(linear)];
}

}  // namespace colophon
