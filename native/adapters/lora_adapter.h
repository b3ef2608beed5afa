#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "adapters/lora_layout.h"
#include "loader/sha256.h"
#include "model/hyperparameters.h"
#include "ops/lora.h"
#include "trace/trace_index.h"

namespace colophon {

struct AdapterSpec {
  std::string name;          ///< for messages
  std::string tensors_path;  ///< adapter_model.safetensors
  Digest content_hash;       ///< SHA-256 that identifies the adapter
  std::vector<AdaptedModule> modules;
  /// SHA-256 of the file at tensors_path when it was registered: load() refuses any other content, which prefix pages
  /// and receipts would otherwise know under the wrong hash. Absent: not compared.
  std::optional<Digest> tensors_hash = std::nullopt;
  std::string trace_path = {};  ///< its trace index (trace/trace_index.h); empty: it has none
};

/// [out, in] of a linear of the base.
struct LinearShape {
  uint32_t out, in;
};

/// What an adapter needs to know of its base.
struct AdapterBase {
  size_t layers;
  LinearShape shapes[kLinearsPerLayer];
  /// Writes row `row` of the base's weight (float32, Hugging Face order) to `out`; only called for DoRA.
  std::function<void(size_t layer, Linear linear, size_t row, float* out)> weight_row;
  bool int8 = false;  ///< adapters are kept in int8 (ops/lora.h), not in their file's type
  Digest hash{};      ///< of the base's files; an adapter with DoRA holds its weights' norms
};

/// The weights of one adapter, packed for the kernels in one allocation.
class LoraAdapter {
 public:
  /// Checks the file against the spec and the base without reading the weights: every module has its lora_A
  /// and lora_B (and lora_magnitude_vector for DoRA) with the right shape and a float type; no tensor is left
  /// over (a renamed or unexpected tensor is never a silent no-op: it is named). Throws Error(bad_adapter):
  /// the tensor, its shape, the shape it should have, and where the shape points to another base, that.
  /// Returns the bytes that load() will need.
  ///
  /// PEFT's names: base_model.model.model.layers.N.self_attn.q_proj.lora_A.weight; also accepted without the
  /// leading "base_model.model." and with an adapter name before ".weight" (lora_A.default.weight);
  /// lora_magnitude_vector with and without ".weight".
  static size_t check(const AdapterSpec& spec, const AdapterBase& base);

  /// Reads and packs. The bytes are read once, sequentially. Values that are not finite are refused.
  static std::unique_ptr<LoraAdapter> load(const AdapterSpec& spec, const AdapterBase& base);

  /// Of the modules as placed, and their storage, filled.
  LoraAdapter(const std::vector<PlacedModule>& modules, AdapterStorage storage, size_t bytes, const AdapterBase& base);

  /// Null where the adapter leaves this linear alone.
  const LoraMatrix* find(size_t layer, Linear linear) const {
    const LoraMatrix& m = matrices_[layer * kLinearsPerLayer + static_cast<size_t>(linear)];
    return m.rank == 0 ? nullptr : &m;
  }
  size_t bytes() const { return bytes_; }  ///< of its storage
  /// What an adapter on this base takes beside its storage: the table of its matrices.
  static size_t table_bytes(const AdapterBase& base) { return base.layers * kLinearsPerLayer * sizeof(LoraMatrix); }
  const uint8_t* storage() const { return storage_.get(); }  ///< [bytes()]; the same on every machine
  uint32_t max_rank() const { return max_rank_; }

  /// Where its tokens are looked for; null where it has no index, or one that cannot be used.
  const TraceIndex* trace() const { return trace_.get(); }
  void set_trace(std::unique_ptr<const TraceIndex> trace) { trace_ = std::move(trace); }

 private:
  std::vector<LoraMatrix> matrices_;  ///< [layers][kLinearsPerLayer]; rank 0: none
  AdapterStorage storage_;
  size_t bytes_;
  uint32_t max_rank_ = 0;
  std::unique_ptr<const TraceIndex> trace_;
};

}  // namespace colophon
