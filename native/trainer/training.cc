#include "trainer/training.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <thread>

#include "engine/error.h"

namespace colophon {
namespace {

[[noreturn]] void invalid(const std::string& sentence) { throw Error(ErrorCode::invalid_argument, sentence); }

size_t thread_count(size_t asked) {
  if (asked > 1024) invalid("the number of threads is " + std::to_string(asked) + "; 1 to 1024 make sense");
  return asked > 0 ? asked : std::max<size_t>(1, std::thread::hardware_concurrency());
}

Isa chosen_isa(const std::optional<Isa>& asked) {
  if (!asked) return best_isa();
  if (!isa_supported(*asked))
    throw Error(ErrorCode::unsupported, "this CPU cannot run \"" + std::string(to_string(*asked)) + "\"");
  return *asked;
}

void check_count(std::span<const float> values, size_t count, const char* what) {
  if (values.size() != count)
    invalid(std::string(what) + " has " + std::to_string(values.size()) + " values; the adapter has " + std::to_string(count));
  for (const float value : values)
    if (!std::isfinite(value)) invalid(std::string(what) + " has a value that is not finite");
}

}  // namespace

Training::Training(const TrainingOptions& options)
    : pool_(thread_count(options.threads)), context_{pool_, chosen_isa(options.isa)} {
  const ModelFile file = ModelFile::open(options.model);
  const Hyperparameters& h = file.hyperparameters();
  if (options.trainer.max_rows == 0 || options.trainer.max_rows > h.context)
    invalid("maxRows is " + std::to_string(options.trainer.max_rows) + "; the model's context allows 1 to " + std::to_string(h.context));
  base_hash_ = file.hash();
  weights_ = std::make_unique<TransformerWeights>(context_, file, transformer_traits(h.architecture), options.trainer.max_rows);
  adapter_ = std::make_unique<TrainableAdapter>(options.modules, weights_->adapter_base());
  trainer_ = std::make_unique<Trainer>(context_, *weights_, *adapter_, options.trainer);
  optimiser_ = std::make_unique<AdamW>(adapter_->values().size(), options.optimiser);
  gradients_.resize(adapter_->values().size());
}

TrainingInfo Training::info() const {
  const size_t values = adapter_->values().size();
  const std::span<const TrainableModule> modules = adapter_->modules();
  return {context_.isa, pool_.threads(), base_hash_, weights_->h, {modules.begin(), modules.end()}, values,
          weights_->bytes() + trainer_->bytes() + 4 * values * sizeof(float)};
}

void Training::initialise(uint64_t seed) {
  std::lock_guard lock(mutex_);
  adapter_->initialise(seed);
}

std::vector<float> Training::values() {
  std::lock_guard lock(mutex_);
  return {adapter_->values().begin(), adapter_->values().end()};
}

void Training::set_values(std::span<const float> values) {
  std::lock_guard lock(mutex_);
  check_count(values, adapter_->values().size(), "what is to become the adapter");
  std::copy(values.begin(), values.end(), adapter_->values().begin());
}

OptimiserState Training::optimiser() {
  std::lock_guard lock(mutex_);
  const auto copy = [](std::span<const float> values) { return std::vector<float>(values.begin(), values.end()); };
  return {optimiser_->steps(), copy(optimiser_->first_moment()), copy(optimiser_->second_moment())};
}

void Training::restore_optimiser(const OptimiserState& state) {
  std::lock_guard lock(mutex_);
  check_count(state.first, adapter_->values().size(), "the first moment");
  check_count(state.second, adapter_->values().size(), "the second moment");
  optimiser_->restore(state.steps, state.first, state.second);
}

TrainingStep Training::step(std::span<const TrainingExample> examples, const TrainingStepOptions& options) {
  std::lock_guard lock(mutex_);
  if (!std::isfinite(options.learning_rate) || options.learning_rate < 0)
    invalid("the learning rate is " + std::to_string(options.learning_rate) + ", which must be 0 or more");
  if (options.clip && !(*options.clip > 0)) invalid("clip is " + std::to_string(*options.clip) + ", which must be above 0");
  if (!(options.dropout.rate >= 0 && options.dropout.rate < 1))
    invalid("dropout is " + std::to_string(options.dropout.rate) + ", which must be 0 or more and below 1");
  double weight = 0;
  for (const TrainingExample& example : examples)
    for (const float w : example.weights) weight += static_cast<double>(w);
  if (!(weight > 0)) invalid("no token of these examples is a target");
  std::fill(gradients_.begin(), gradients_.end(), 0.0f);
  TrainingStep step;
  step.losses = trainer_->gradients(examples, static_cast<float>(1 / weight), options.dropout, gradients_);
  step.gradient_norm = gradient_norm(gradients_);
  if (!std::isfinite(step.gradient_norm))
    invalid("the gradient is not finite any more; a smaller learning rate, or clip, helps");
  if (options.clip && step.gradient_norm > *options.clip) {
    const auto factor = static_cast<float>(*options.clip / step.gradient_norm);
    for (float& gradient : gradients_) gradient *= factor;
  }
  optimiser_->step(context_, adapter_->values(), gradients_, options.learning_rate);
  return step;
}

std::vector<ExampleLoss> Training::evaluate(std::span<const TrainingExample> examples) {
  std::lock_guard lock(mutex_);
  return trainer_->evaluate(examples);
}

std::pair<std::vector<ExampleLoss>, std::vector<float>> Training::gradient(std::span<const TrainingExample> examples, float factor) {
  std::lock_guard lock(mutex_);
  std::vector<float> sums(adapter_->values().size());
  std::vector<ExampleLoss> losses = trainer_->gradients(examples, factor, {}, sums);
  return {std::move(losses), std::move(sums)};
}

}  // namespace colophon
