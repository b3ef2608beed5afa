#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "model/transformer_weights.h"
#include "ops/attention_training.h"
#include "ops/backward.h"
#include "trainer/trainable_adapter.h"

namespace colophon {

/// Tokens, and how much each is learned as the continuation of those before it; weights[0] is 0, since nothing is before it.
struct TrainingExample {
  std::vector<int32_t> tokens;
  std::vector<float> weights;  ///< [tokens], 0: not a target
};

/// Of one example's targets.
struct ExampleLoss {
  double loss = 0;       ///< sum of weight * -log p(target), nats
  double weight = 0;     ///< sum of weights
  uint32_t targets = 0;
  uint32_t greedy = 0;   ///< targets that were the likeliest token
};

/// Dropout on the input of each LoRA, by a function of (seed, example, position, module, column).
struct Dropout {
  float rate = 0;  ///< 0 to below 1
  uint64_t seed = 0;
  uint64_t first_example = 0;  ///< number of the first example that is given
};

struct TrainerOptions {
  size_t max_rows = 1024;             ///< rows and targets that are computed at once; also the longest example's tokens
  size_t activation_bytes = 1 << 28;  ///< of what a backward pass keeps; the rest it computes again
};

/// Loss and gradients of a LoRA on frozen weights, float32 throughout. Examples lie side by side without padding, none sees another,
/// and what those of a pass begin with in common is computed once, unless inputs are dropped (trainer/packed_examples.h).
///
/// Every sum has a fixed order: results depend on neither threads, instruction set nor activation_bytes (promise 7). Losses do not
/// depend on what else is in a pass either, bit for bit. Gradients of examples that begin with the same token add up in an order of
/// their pass, so they depend, by their last bits, on which examples max_rows lets into it; where none do, gradients of examples
/// one after another are those of all together, bit for bit.
class Trainer {
 public:
  /// All given are kept by reference. Throws Error(unsupported) for an architecture that cannot be trained.
  Trainer(OpContext& context, const TransformerWeights& weights, const TrainableAdapter& adapter, const TrainerOptions& options);
  ~Trainer();

  /// Throws Error(invalid_argument) for an example that is too long, empty, or has a token beyond the vocabulary, a weight
  /// that is negative or not finite, or weights of another length.
  std::vector<ExampleLoss> evaluate(std::span<const TrainingExample> examples);

  /// As evaluate, with each example's state, [examples][hidden]: the mean of the last normalised hidden rows that its targets are told
  /// from, 0 where it has none. Its bits do not depend on what else is in a pass.
  std::vector<ExampleLoss> states(std::span<const TrainingExample> examples, std::span<float> states);

  /// The losses of the base without the adapter.
  std::vector<ExampleLoss> evaluate_base(std::span<const TrainingExample> examples);

  /// As evaluate, and adds the sum over the examples of factor * d(loss) / d(value) to sums, [adapter.values().size()]. An example's
  /// factor may be negative: it is unlearned.
  std::vector<ExampleLoss> gradients(std::span<const TrainingExample> examples, std::span<const float> factors,
                                     const Dropout& dropout, std::span<float> sums);

  /// The gradients of factor * loss of an example's targets, one target after another, by one forward pass. They are valid during
  /// the call that receives them.
  void target_gradients(const TrainingExample& example, float factor, const std::function<void(std::span<const float>)>& receive);

  /// Bytes that it allocated.
  size_t bytes() const;

 private:
  class Pass;
  std::unique_ptr<Pass> pass_;
};

}  // namespace colophon
