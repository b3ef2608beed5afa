#pragma once

#include <mutex>
#include <optional>

#include "model/model_file.h"
#include "trainer/adamw.h"
#include "trainer/trainer.h"

namespace colophon {

struct TrainingOptions {
  ModelSource model;
  std::optional<Isa> isa;  ///< default: the best that the machine runs
  size_t threads = 0;      ///< 0: the number of cores
  std::vector<AdaptedModule> modules;
  TrainerOptions trainer;
  AdamWOptions optimiser;
};

struct TrainingInfo {
  Isa isa;
  size_t threads;
  Digest base_hash;
  Hyperparameters hyperparameters;
  std::vector<TrainableModule> modules;
  size_t values;  ///< of the adapter
  size_t bytes;   ///< weights, activations, adapter, gradients and moments
};

struct TrainingStepOptions {
  double learning_rate = 0;
  std::optional<double> clip;  ///< the largest gradient norm
  Dropout dropout;
};

struct TrainingStep {
  std::vector<ExampleLoss> losses;  ///< before the step
  double gradient_norm;             ///< before clipping
};

/// Two answers to one prompt; their targets are the answers' tokens.
struct PreferencePair {
  TrainingExample preferred, other;
};

struct PreferenceStep {
  double loss;              ///< mean over the pairs of -log sigmoid(margin), nats, before the step
  double gradient_norm;     ///< before clipping
  uint32_t ranked;          ///< pairs whose margin is above 0
  std::vector<double> margins;  ///< beta * (how much more likely than by the base the preferred one is, less the other's)
};

struct OptimiserState {
  uint64_t steps;
  std::vector<float> first, second;  ///< moments
};

/// A base, a LoRA on it, and an optimiser: all that training needs besides knowing what to train on. One call at a time; another
/// thread's waits.
class Training {
 public:
  /// Reads the base; the adapter's values are zero. Throws Error(bad_model | unsupported | invalid_argument).
  explicit Training(const TrainingOptions& options);

  TrainingInfo info() const;
  void initialise(uint64_t seed);
  std::vector<float> values();
  /// Throws Error(invalid_argument) where there are not as many as the adapter has, or one is not finite.
  void set_values(std::span<const float> values);
  OptimiserState optimiser();
  const AdamWOptions& optimiser_options() const { return optimiser_->options(); }
  void restore_optimiser(const OptimiserState& state);

  /// One step of the optimiser on the mean loss over all targets of the examples, by their weights. Where the gradient is not
  /// finite nothing changes: throws Error(invalid_argument).
  TrainingStep step(std::span<const TrainingExample> examples, const TrainingStepOptions& options);
  /// One step of direct preference optimisation (https://arxiv.org/abs/2305.18290), the base being the reference. beta > 0.
  PreferenceStep prefer(std::span<const PreferencePair> pairs, double beta, const TrainingStepOptions& options);
  /// The pairs' margins and losses as they are.
  PreferenceStep compare(std::span<const PreferencePair> pairs, double beta);

  std::vector<ExampleLoss> evaluate(std::span<const TrainingExample> examples);
  std::vector<ExampleLoss> evaluate_base(std::span<const TrainingExample> examples);
  /// With each example's state, [examples][hidden] (Trainer::states).
  std::pair<std::vector<ExampleLoss>, std::vector<float>> states(std::span<const TrainingExample> examples);
  /// Writes adapter_model.safetensors in PEFT's names and order of rows, float32: the same bytes for the same values. Durable
  /// when it returns. Throws Error(resource_exhausted) where the disk is full, Error(not_found) where it cannot be written.
  void save(const std::string& path);
  /// Takes the values that are there in PEFT's names, of F32, F16 or BF16. Throws Error(not_found | bad_adapter) where they are not
  /// those of this adapter's modules.
  void load(const std::string& path);

  /// The gradient of factor * (sum of the examples' losses), without dropout.
  std::pair<std::vector<ExampleLoss>, std::vector<float>> gradient(std::span<const TrainingExample> examples, float factor);
  /// The gradient of factor * loss of each target (Trainer::target_gradients), which must not call this object.
  void target_gradients(const TrainingExample& example, float factor, const std::function<void(std::span<const float>)>& receive);

 private:
  PreferenceStep margins(std::span<const PreferencePair> pairs, double beta, std::vector<TrainingExample>& examples);
  double apply(const TrainingStepOptions& options);

  std::mutex mutex_;
  Digest base_hash_;
  ThreadPool pool_;
  OpContext context_;
  std::unique_ptr<TransformerWeights> weights_;
  std::unique_ptr<TrainableAdapter> adapter_;
  std::unique_ptr<Trainer> trainer_;
  std::unique_ptr<AdamW> optimiser_;
  std::vector<float> gradients_;
};

}  // namespace colophon
