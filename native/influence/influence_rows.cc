#include "influence/influence_rows.h"

#include <cmath>

#include "ops/math.h"

namespace colophon {
namespace {

double targets_weight(const TrainingExample& example) {
  double sum = 0;
  for (const float weight : example.weights) sum += static_cast<double>(weight);
  return sum;
}

/// Each value's factor: 1 / (sqrt(second moment) + epsilon), the moment corrected for its beginning at zero.
std::vector<float> preconditioner(const OptimiserState& state, const AdamWOptions& options) {
  const double correction =
      state.steps > 0 ? 1 - det_pow(static_cast<double>(options.beta2), static_cast<double>(state.steps)) : 1;
  std::vector<float> factors;
  factors.reserve(state.second.size());
  for (const float moment : state.second)
    factors.push_back(static_cast<float>(
        1 / (std::sqrt(static_cast<double>(moment) / correction) + static_cast<double>(options.epsilon))));
  return factors;
}

/// One example for each target of `example`, of which it is the only one.
std::vector<TrainingExample> by_target(const TrainingExample& example) {
  std::vector<TrainingExample> out;
  for (size_t i = 0; i < example.weights.size(); ++i) {
    if (example.weights[i] == 0) continue;
    TrainingExample one{example.tokens, std::vector<float>(example.weights.size())};
    one.weights[i] = example.weights[i];
    out.push_back(std::move(one));
  }
  return out;
}

}  // namespace

InfluenceLayout influence_layout(const TrainingInfo& info, uint32_t dims, uint64_t seed, bool preconditioned) {
  InfluenceLayout layout;
  layout.hidden = static_cast<uint32_t>(info.hyperparameters.hidden);
  layout.dims = dims;
  layout.seed = seed;
  layout.preconditioned = preconditioned;
  for (const TrainableModule& module : info.modules) {
    layout.blocks.push_back(module.module.rank * module.in);
    layout.blocks.push_back(module.module.rank * module.out);
  }
  return layout;
}

std::vector<uint8_t> state_rows(Training& training, const InfluenceLayout& layout, std::span<const TrainingExample> examples) {
  const std::vector<float> states = training.states(examples).second;
  const std::vector<ExampleLoss> base = training.evaluate_base(examples);
  std::vector<uint8_t> bytes;
  for (size_t i = 0; i < examples.size(); ++i) {
    const double loss = base[i].weight > 0 ? base[i].loss / base[i].weight : 0;
    append_state_row(layout, static_cast<float>(loss), std::span(states).subspan(i * layout.hidden, layout.hidden), bytes);
  }
  return bytes;
}

std::vector<uint8_t> gradient_rows(Training& training, const InfluenceLayout& layout, std::span<const TrainingExample> examples) {
  const BlockProjection projection(training.info().modules, layout.dims, layout.seed);
  std::vector<float> factors, projected(projection.width()), scaled;
  if (layout.preconditioned) {
    factors = preconditioner(training.optimiser(), training.optimiser_options());
    scaled.resize(projection.width());
  }
  std::vector<uint8_t> bytes;
  for (const TrainingExample& example : examples) {
    const double weight = targets_weight(example);
    auto [losses, gradient] = training.gradient({&example, 1}, weight > 0 ? static_cast<float>(1 / weight) : 0.0f);
    projection.project(gradient, projected);
    if (layout.preconditioned) {
      for (size_t i = 0; i < gradient.size(); ++i) gradient[i] *= factors[i];
      projection.project(gradient, scaled);
    }
    append_gradient_row(layout, static_cast<float>(weight > 0 ? losses[0].loss / losses[0].weight : 0), projected, scaled, bytes);
  }
  return bytes;
}

InfluenceQuery influence_query(Training& training, const InfluenceLayout& layout, const TrainingExample& example, bool by_token,
                               bool gradient) {
  const double weight = targets_weight(example);
  const std::vector<TrainingExample> asked = by_token ? by_target(example) : std::vector<TrainingExample>{example};
  if (!(weight > 0)) throw Error(ErrorCode::invalid_argument, "the answer that is asked about has no target");
  InfluenceQuery query;
  query.rows = asked.size();
  query.states = training.states(asked).second;
  for (float& value : query.states) value /= static_cast<float>(query.rows);
  if (!gradient) return query;
  const BlockProjection projection(training.info().modules, layout.dims, layout.seed);
  const auto factor = static_cast<float>(1 / weight);
  std::vector<float> rows(query.rows * projection.width());
  if (by_token) {
    size_t row = 0;
    training.target_gradients(example, factor, [&](std::span<const float> of) {
      projection.project(of, std::span(rows).subspan(row++ * projection.width(), projection.width()));
    });
  } else {
    projection.project(training.gradient({&example, 1}, factor).second, rows);
  }
  query.gradients.push_back(std::move(rows));
  return query;
}

}  // namespace colophon
