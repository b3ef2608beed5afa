#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "loader/gguf.h"
#include "loader/safetensors.h"
#include "loader/sha256.h"
#include "model/hyperparameters.h"

namespace colophon {

/// Where a base model lies.
struct ModelSource {
  std::string gguf_path;                       ///< either this
  std::vector<std::string> safetensors_paths;  ///< or these, with the shape from config.json, which the gateway reads
  Hyperparameters hyperparameters;
};

/// A base model on disk, GGUF or safetensors, behind Hugging Face's tensor names ("model.layers.0.self_attn.q_proj.weight").
class ModelFile {
 public:
  static ModelFile open(const ModelSource& source) {
    return source.gguf_path.empty() ? open_safetensors(source.safetensors_paths, source.hyperparameters) : open_gguf(source.gguf_path);
  }
  /// Reads the shape from the file's metadata. Throws Error(bad_model).
  static ModelFile open_gguf(const std::string& path);
  /// The shape comes from config.json, which the gateway reads.
  static ModelFile open_safetensors(const std::vector<std::string>& paths, const Hyperparameters& hyperparameters);

  const Hyperparameters& hyperparameters() const { return hyperparameters_; }
  bool is_gguf() const { return gguf_ != nullptr; }
  const std::vector<std::string>& paths() const { return paths_; }

  /// Null where there is no such tensor.
  const Tensor* find(const std::string& name) const;
  /// Throws Error(bad_model), naming the tensor and the shapes, where it is missing or has another shape.
  const Tensor& require(const std::string& name, const std::vector<uint64_t>& shape) const;
  /// A float vector (norm weights, rope factors), widened to float32.
  std::vector<float> floats(const std::string& name, size_t size) const;

  /// SHA-256 of the content: of the one file, or of the files' digests in order.
  Digest hash() const;

 private:
  std::string name_in_file(const std::string& name) const;

  std::vector<std::string> paths_;
  std::unique_ptr<GgufFile> gguf_;
  std::unique_ptr<SafetensorsFile> safetensors_;
  Hyperparameters hyperparameters_;
};

/// Throws Error(bad_model) where a shape is outside what the engine can hold (zero, not divisible, absurd).
void check_hyperparameters(const Hyperparameters& h);

/// SHA-256 of a file, read sequentially.
Digest hash_file(const std::string& path);

}  // namespace colophon
