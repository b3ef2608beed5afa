#include "trainer/training.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <thread>

#include "engine/error.h"
#include "ops/math.h"
#include "trainer/load_adapter.h"
#include "trainer/save_adapter.h"

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

void check(const TrainingStepOptions& options) {
  if (!std::isfinite(options.learning_rate) || options.learning_rate < 0)
    invalid("the learning rate is " + std::to_string(options.learning_rate) + ", which must be 0 or more");
  if (options.clip && !(*options.clip > 0)) invalid("clip is " + std::to_string(*options.clip) + ", which must be above 0");
  if (!(options.dropout.rate >= 0 && options.dropout.rate < 1))
    invalid("dropout is " + std::to_string(options.dropout.rate) + ", which must be 0 or more and below 1");
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

/// Takes the step that gradients_ ask for and returns their norm before clipping.
double Training::apply(const TrainingStepOptions& options) {
  const double norm = gradient_norm(gradients_);
  if (!std::isfinite(norm)) invalid("the gradient is not finite any more; a smaller learning rate, or clip, helps");
  if (options.clip && norm > *options.clip) {
    const auto factor = static_cast<float>(*options.clip / norm);
    for (float& gradient : gradients_) gradient *= factor;
  }
  optimiser_->step(context_, adapter_->values(), gradients_, options.learning_rate);
  return norm;
}

TrainingStep Training::step(std::span<const TrainingExample> examples, const TrainingStepOptions& options) {
  std::lock_guard lock(mutex_);
  check(options);
  double weight = 0;
  for (const TrainingExample& example : examples)
    for (const float w : example.weights) weight += static_cast<double>(w);
  if (!(weight > 0)) invalid("no token of these examples is a target");
  std::fill(gradients_.begin(), gradients_.end(), 0.0f);
  const std::vector<float> factors(examples.size(), static_cast<float>(1 / weight));
  TrainingStep step;
  step.losses = trainer_->gradients(examples, factors, options.dropout, gradients_);
  step.gradient_norm = apply(options);
  return step;
}

/// examples: the preferred and the other of each pair in turn.
PreferenceStep Training::margins(std::span<const PreferencePair> pairs, double beta, std::vector<TrainingExample>& examples) {
  if (pairs.empty()) invalid("there are no pairs");
  if (!(beta > 0) || !std::isfinite(beta)) invalid("beta is " + std::to_string(beta) + ", which must be above 0");
  for (const PreferencePair& pair : pairs) {
    examples.push_back(pair.preferred);
    examples.push_back(pair.other);
  }
  const std::vector<ExampleLoss> base = trainer_->evaluate_base(examples), ours = trainer_->evaluate(examples);
  PreferenceStep step{};
  for (size_t i = 0; i < pairs.size(); ++i) {
    const auto gain = [&](size_t example) { return base[example].loss - ours[example].loss; };
    const double margin = beta * (gain(2 * i) - gain(2 * i + 1));
    step.margins.push_back(margin);
    step.ranked += margin > 0;
    // -log sigmoid(margin), without overflow on either side.
    step.loss += (std::max(0.0, -margin) + det_log(1 + det_exp(-std::abs(margin)))) / static_cast<double>(pairs.size());
  }
  return step;
}

PreferenceStep Training::compare(std::span<const PreferencePair> pairs, double beta) {
  std::lock_guard lock(mutex_);
  std::vector<TrainingExample> examples;
  return margins(pairs, beta, examples);
}

PreferenceStep Training::prefer(std::span<const PreferencePair> pairs, double beta, const TrainingStepOptions& options) {
  std::lock_guard lock(mutex_);
  check(options);
  std::vector<TrainingExample> examples;
  PreferenceStep step = margins(pairs, beta, examples);
  std::vector<float> factors;
  for (const double margin : step.margins) {
    // The slope of -log sigmoid(margin) by the preferred one's loss.
    const double slope = beta / (1 + det_exp(margin)) / static_cast<double>(pairs.size());
    factors.push_back(static_cast<float>(slope));
    factors.push_back(static_cast<float>(-slope));
  }
  std::fill(gradients_.begin(), gradients_.end(), 0.0f);
  trainer_->gradients(examples, factors, options.dropout, gradients_);
  step.gradient_norm = apply(options);
  return step;
}

void Training::save(const std::string& path) {
  std::lock_guard lock(mutex_);
  save_adapter(*adapter_, path);
}

void Training::load(const std::string& path) {
  std::lock_guard lock(mutex_);
  load_adapter(*adapter_, path);
}

std::pair<std::vector<ExampleLoss>, std::vector<float>> Training::states(std::span<const TrainingExample> examples) {
  std::lock_guard lock(mutex_);
  std::vector<float> states(examples.size() * weights_->h.hidden);
  std::vector<ExampleLoss> losses = trainer_->states(examples, states);
  return {std::move(losses), std::move(states)};
}

std::vector<ExampleLoss> Training::evaluate(std::span<const TrainingExample> examples) {
  std::lock_guard lock(mutex_);
  return trainer_->evaluate(examples);
}

std::vector<ExampleLoss> Training::evaluate_base(std::span<const TrainingExample> examples) {
  std::lock_guard lock(mutex_);
  return trainer_->evaluate_base(examples);
}

std::pair<std::vector<ExampleLoss>, std::vector<float>> Training::gradient(std::span<const TrainingExample> examples, float factor) {
  std::lock_guard lock(mutex_);
  std::vector<float> sums(adapter_->values().size());
  const std::vector<float> factors(examples.size(), factor);
  std::vector<ExampleLoss> losses = trainer_->gradients(examples, factors, {}, sums);
  return {std::move(losses), std::move(sums)};
}

void Training::target_gradients(const TrainingExample& example, float factor,
                                const std::function<void(std::span<const float>)>& receive) {
  std::lock_guard lock(mutex_);
  trainer_->target_gradients(example, factor, receive);
}

}  // namespace colophon
