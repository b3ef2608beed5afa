#include "model/model_file.h"

#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstring>

#include "engine/error.h"
#include "ops/simd.h"

namespace colophon {
namespace {

[[noreturn]] void bad_model(const std::string& sentence) { throw Error(ErrorCode::bad_model, sentence); }

/// Hugging Face's name -> GGUF's. Where both halves of a block are also normalised behind, one name has another meaning.
std::string gguf_name(const std::string& name, bool norms_outputs) {
  if (name == "model.embed_tokens.weight") return "token_embd.weight";
  if (name == "model.norm.weight") return "output_norm.weight";
  if (name == "lm_head.weight") return "output.weight";
  constexpr std::string_view kLayers = "model.layers.";
  if (name.rfind(kLayers, 0) != 0) return name;
  const size_t dot = name.find('.', kLayers.size());
  if (dot == std::string::npos) return name;
  const std::string layer = name.substr(kLayers.size(), dot - kLayers.size());
  const std::string rest = name.substr(dot + 1);
  if (norms_outputs && rest == "post_attention_layernorm.weight") return "blk." + layer + ".post_attention_norm.weight";
  static constexpr const char* kNames[][2] = {
      {"self_attn.q_proj.", "attn_q."},       {"self_attn.k_proj.", "attn_k."},
      {"self_attn.v_proj.", "attn_v."},       {"self_attn.o_proj.", "attn_output."},
      {"mlp.gate_proj.", "ffn_gate."},        {"mlp.up_proj.", "ffn_up."},
      {"mlp.down_proj.", "ffn_down."},        {"input_layernorm.", "attn_norm."},
      {"post_attention_layernorm.", "ffn_norm."}, {"self_attn.q_norm.", "attn_q_norm."},
      {"self_attn.k_norm.", "attn_k_norm."},
      {"pre_feedforward_layernorm.", "ffn_norm."}, {"post_feedforward_layernorm.", "post_ffw_norm."},
  };
  for (const auto& [hf, gguf] : kNames) {
    if (rest.rfind(hf, 0) == 0) return "blk." + layer + "." + gguf + rest.substr(std::strlen(hf));
  }
  return name;
}

constexpr size_t kMostLayers = 1024;

size_t required_count(const GgufFile& file, const std::string& key) {
  const auto value = file.unsigned_value(key);
  if (!value) bad_model("the GGUF file has no \"" + key + "\"; it is incomplete or not a language model");
  return *value;
}

Hyperparameters read_gguf(const GgufFile& file) {
  Hyperparameters h;
  const auto architecture = file.string_value("general.architecture");
  if (!architecture) bad_model("the GGUF file has no \"general.architecture\"; it is not a language model");
  h.architecture = *architecture;
  const std::string prefix = h.architecture + ".";
  h.layers = required_count(file, prefix + "block_count");
  h.hidden = required_count(file, prefix + "embedding_length");
  h.heads = required_count(file, prefix + "attention.head_count");
  h.kv_heads = file.unsigned_value(prefix + "attention.head_count_kv").value_or(h.heads);
  h.feed_forward = required_count(file, prefix + "feed_forward_length");
  h.context = required_count(file, prefix + "context_length");
  h.head_dim = file.unsigned_value(prefix + "attention.key_length").value_or(h.heads ? h.hidden / h.heads : 0);
  if (file.unsigned_value(prefix + "attention.value_length").value_or(h.head_dim) != h.head_dim)
    bad_model("keys and values have different lengths (" + prefix + "attention.value_length), which is not supported");
  h.rotary_dim = file.unsigned_value(prefix + "rope.dimension_count").value_or(h.head_dim);
  h.rope_base = file.number_value(prefix + "rope.freq_base").value_or(10000.0);
  h.norm_eps = file.number_value(prefix + "attention.layer_norm_rms_epsilon").value_or(1e-5);
  const std::string scaling = file.string_value(prefix + "rope.scaling.type").value_or("none");
  if (scaling == "linear") {
    h.rope_scaling.kind = RopeScaling::Kind::linear;
    h.rope_scaling.factor = file.number_value(prefix + "rope.scaling.factor").value_or(1.0);
  } else if (scaling != "none") {
    bad_model("rope scaling \"" + scaling + "\" (" + prefix + "rope.scaling.type) is not supported; linear, and llama3's "
              "factors as the tensor rope_freqs.weight, are");
  }
  if (h.architecture == "gemma3") {
    // The files leave out what all of these models share.
    h.window = file.unsigned_value(prefix + "attention.sliding_window").value_or(0);
    h.window_rope_base = file.number_value(prefix + "rope.freq_base_swa").value_or(10000.0);
    const size_t pattern = file.unsigned_value(prefix + "attention.sliding_window_pattern").value_or(6);
    if (pattern == 0) bad_model(prefix + "attention.sliding_window_pattern is 0; it must be above");
    if (h.window > 0 && h.layers <= kMostLayers)
      for (size_t layer = 0; layer < h.layers; ++layer) h.windowed.push_back((layer + 1) % pattern != 0);
    // The largest one divides by the residual stream's share of a head.
    constexpr size_t kLayersOf27b = 62;
    if (h.layers == kLayersOf27b) h.attention_scale = 1.0 / std::sqrt(static_cast<double>(h.hidden) / static_cast<double>(h.heads));
  }
  const Tensor* embedding = file.find("token_embd.weight");
  if (!embedding || embedding->shape.size() != 2) bad_model("the GGUF file has no matrix \"token_embd.weight\"");
  h.vocabulary = embedding->shape[0];
  h.tied_head = file.find("output.weight") == nullptr;
  return h;
}

}  // namespace

void check_hyperparameters(const Hyperparameters& h) {
  const auto within = [](const char* what, size_t value, size_t low, size_t high) {
    if (value < low || value > high)
      bad_model(std::string(what) + " is " + std::to_string(value) + ", outside " + std::to_string(low) + ".." +
                std::to_string(high) + "; the model's metadata is wrong");
  };
  within("the number of layers", h.layers, 1, kMostLayers);
  within("the hidden size", h.hidden, 1, 1 << 20);
  within("the number of attention heads", h.heads, 1, 4096);
  within("the number of key/value heads", h.kv_heads, 1, h.heads);
  within("the head dimension", h.head_dim, 2, 1024);
  within("the feed-forward size", h.feed_forward, 1, 1 << 22);
  within("the vocabulary", h.vocabulary, 1, 1 << 24);
  within("the context length", h.context, 1, 1 << 24);
  within("the rotary dimension", h.rotary_dim, 2, h.head_dim);
  if (h.heads % h.kv_heads != 0)
    bad_model(std::to_string(h.heads) + " attention heads cannot share " + std::to_string(h.kv_heads) + " key/value heads evenly");
  if (h.rotary_dim % 2 != 0) bad_model("the rotary dimension " + std::to_string(h.rotary_dim) + " is odd");
  if (!(h.norm_eps >= 0 && h.norm_eps < 1)) bad_model("the norm's epsilon is not in [0, 1)");
  if (!(h.rope_base > 1 && h.rope_base < 1e12)) bad_model("the rotary base is not in (1, 1e12)");
  if (h.window_rope_base && !(*h.window_rope_base > 1 && *h.window_rope_base < 1e12))
    bad_model("the rotary base of the windowed layers is not in (1, 1e12)");
  if (h.attention_scale && !(*h.attention_scale > 0 && *h.attention_scale <= 1024))
    bad_model("the attention's scale is not in (0, 1024]");
  if (!h.windowed.empty()) {
    if (h.windowed.size() != h.layers)
      bad_model(std::to_string(h.windowed.size()) + " layers are said to have a window or not, and there are " + std::to_string(h.layers));
    within("the attention's window", h.window, 1, 1 << 24);
  }
  const RopeScaling& s = h.rope_scaling;
  if (s.kind != RopeScaling::Kind::none && !(s.factor >= 1 && s.factor <= 1024))
    bad_model("the rotary scaling factor is not in [1, 1024]");
  if (s.kind == RopeScaling::Kind::llama3 &&
      !(s.low_freq_factor > 0 && s.high_freq_factor > s.low_freq_factor && s.original_context >= 1))
    bad_model("the llama3 rotary scaling needs 0 < low_freq_factor < high_freq_factor and an original context");
}

ModelFile ModelFile::open_gguf(const std::string& path) {
  ModelFile file;
  file.paths_ = {path};
  file.gguf_ = std::make_unique<GgufFile>(path);
  file.hyperparameters_ = read_gguf(*file.gguf_);
  check_hyperparameters(file.hyperparameters_);
  return file;
}

ModelFile ModelFile::open_safetensors(const std::vector<std::string>& paths, const Hyperparameters& hyperparameters) {
  ModelFile file;
  file.paths_ = paths;
  file.safetensors_ = std::make_unique<SafetensorsFile>(paths, ErrorCode::bad_model);
  file.hyperparameters_ = hyperparameters;
  check_hyperparameters(file.hyperparameters_);
  return file;
}

std::string ModelFile::name_in_file(const std::string& name) const {
  return gguf_ ? gguf_name(name, hyperparameters_.architecture == "gemma3") : name;
}

const Tensor* ModelFile::find(const std::string& name) const {
  return gguf_ ? gguf_->find(name_in_file(name)) : safetensors_->find(name);
}

const Tensor& ModelFile::require(const std::string& name, const std::vector<uint64_t>& shape) const {
  const Tensor* tensor = find(name);
  if (!tensor) bad_model("the model has no tensor \"" + name_in_file(name) + "\"; it is incomplete");
  if (tensor->shape != shape) {
    Tensor wanted;
    wanted.shape = shape;
    bad_model("the tensor \"" + tensor->name + "\" is " + tensor->shape_text() + " but should be " + wanted.shape_text());
  }
  return *tensor;
}

std::vector<float> ModelFile::floats(const std::string& name, size_t size) const {
  const Tensor& tensor = require(name, {size});
  std::vector<float> out(size);
  for (size_t i = 0; i < size; ++i) {
    uint16_t half;
    switch (tensor.type) {
      case DType::f32: std::memcpy(&out[i], tensor.data + 4 * i, 4); break;
      case DType::f16: std::memcpy(&half, tensor.data + 2 * i, 2); out[i] = simd::f16_to_f32(half); break;
      case DType::bf16: std::memcpy(&half, tensor.data + 2 * i, 2); out[i] = simd::bf16_to_f32(half); break;
      default: bad_model("the vector \"" + tensor.name + "\" has the type " + std::string(to_string(tensor.type)) + "; F32, F16 or BF16 is needed");
    }
  }
  return out;
}

Digest hash_file(const std::string& path) {
  std::FILE* file = std::fopen(path.c_str(), "rb");
  if (!file) throw Error(ErrorCode::not_found, "cannot open " + path + ": " + std::strerror(errno));
  std::vector<uint8_t> buffer(1 << 20);
  Sha256 hash;
  size_t got;
  while ((got = std::fread(buffer.data(), 1, buffer.size(), file)) > 0) hash.update(buffer.data(), got);
  const bool failed = std::ferror(file) != 0;
  std::fclose(file);
  if (failed) throw Error(ErrorCode::not_found, "cannot read " + path + " to its end");
  return hash.finish();
}

Digest ModelFile::hash() const {
  if (paths_.size() == 1) return hash_file(paths_[0]);
  Sha256 all;
  for (const std::string& path : paths_) {
    const Digest one = hash_file(path);
    all.update(one.data(), one.size());
  }
  return all.finish();
}

}  // namespace colophon
