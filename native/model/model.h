#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "adapters/lora_adapter.h"
#include "model/hyperparameters.h"
#include "model/model_file.h"
#include "ops/attention.h"
#include "ops/context.h"

namespace colophon {

/// Consecutive positions of one sequence within a step's batch. Runs that share an adapter stand side by side.
struct BatchRun {
  size_t first_row, rows;
  size_t first_position;
  const uint32_t* pages;       ///< of the sequence, covering its positions up to this run's last
  const LoraAdapter* adapter;  ///< null: the base
};

/// One step's rows, all sequences together.
struct Batch {
  std::vector<int32_t> tokens;      ///< [rows]
  std::vector<uint32_t> positions;  ///< [rows]
  std::vector<BatchRun> runs;
  std::vector<uint32_t> head_rows;  ///< rows whose logits are wanted
  void clear() {
    tokens.clear();
    positions.clear();
    runs.clear();
    head_rows.clear();
  }
};

/// A base model in memory. An architecture is one file of this folder that registers itself (transformer.h).
class Model {
 public:
  virtual ~Model() = default;
  virtual const Hyperparameters& hyperparameters() const = 0;
  virtual size_t weight_bytes() const = 0;
  /// What adapters are checked against and DoRA's norms are computed from.
  virtual AdapterBase adapter_base() const = 0;

  /// Runs the blocks over the batch, writes its keys and values into `kv`, and leaves the normalised hidden states of
  /// batch.head_rows in hidden[head_rows][hidden].
  virtual void forward(OpContext& context, const KvLayout& kv, const Batch& batch, float* hidden) = 0;

  /// logits[rows][vocabulary] of normalised hidden states.
  virtual void head(OpContext& context, const float* hidden, size_t rows, float* logits) = 0;

  /// Loads the architecture that the file names. `max_rows`: rows of the largest batch. `max_positions`: longest sequence.
  static std::unique_ptr<Model> load(OpContext& context, const ModelFile& file, Precision precision, size_t max_rows,
                                     size_t max_positions);
};

}  // namespace colophon
