#include "influence/influence_rows.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "ops/op_testing.h"
#include "testing/engine_harness.h"
#include "testing/test.h"
#include "testing/tiny_model.h"

using namespace colophon;
using namespace colophon::testing;

namespace {

/// A tiny model and a random adapter, trained for a step so that there is a second moment.
struct Setup {
  TempDir folder;
  std::unique_ptr<Training> training;
  std::vector<TrainingExample> examples;
  uint32_t dims = 8;
  uint64_t seed = 5;

  explicit Setup(Isa isa = Isa::reference, size_t threads = 1) {
    TrainingOptions options;
    options.model.gguf_path = write_tiny_model(folder);
    options.isa = isa;
    options.threads = threads;
    for (uint32_t layer = 0; layer < 2; ++layer)
      for (size_t i = 0; i < kLinearsPerLayer; ++i) options.modules.push_back({layer, static_cast<Linear>(i), 3, 2, false});
    options.trainer.max_rows = 80;
    training = std::make_unique<Training>(options);
    std::mt19937 random(9);
    training->set_values(random_floats(training->info().values, random, 0.05f));
    for (const size_t length : {7u, 30u, 23u, 12u}) {
      TrainingExample example;
      for (size_t i = 0; i < length; ++i) {
        example.tokens.push_back(static_cast<int32_t>(i < 5 ? i : random() % 128));
        example.weights.push_back(i < 4 || (random() % 3 == 0 && i + 1 < length) ? 0.0f : 1.0f);
      }
      examples.push_back(example);
    }
    training->step(examples, {1e-3, {}, {}});
  }
  InfluenceLayout layout(bool preconditioned = true) {
    InfluenceLayout layout = influence_layout(training->info(), dims, seed, preconditioned);
    layout.examples = 4;
    layout.rates = {1};
    return layout;
  }
  std::vector<uint8_t> rows(size_t at_once) {
    std::vector<uint8_t> bytes;
    const std::span<const TrainingExample> all = examples;
    for (const auto of : {state_rows, gradient_rows})
      for (size_t first = 0; first < all.size(); first += at_once) {
        const std::vector<uint8_t> some = of(*training, layout(), all.subspan(first, std::min(at_once, all.size() - first)));
        bytes.insert(bytes.end(), some.begin(), some.end());
      }
    return bytes;
  }
  std::shared_ptr<const InfluenceIndex> index() {
    const Digest adapter{};
    InfluenceWriter writer(folder.path("index"), adapter, layout());
    writer.add(rows(4));
    writer.finish();
    return std::make_shared<const InfluenceIndex>(folder.path("index"), adapter);
  }
};

}  // namespace

TEST(influence_rows_are_the_same_bytes_on_every_machine) {
  const std::vector<uint8_t> expected = Setup().rows(4);
  for (const Isa isa : supported_isas())
    for (const size_t threads : {1u, 3u}) {
      Setup setup(isa, threads);
      CHECK(setup.rows(4) == expected);
      CHECK(setup.rows(1) == setup.rows(3));
    }
}

TEST(influence_of_an_example_on_itself_is_the_most) {
  Setup setup;
  const InfluenceScores scores(setup.index());
  for (size_t asked = 0; asked < 4; ++asked) {
    const InfluenceQuery query = influence_query(*setup.training, setup.layout(), setup.examples[asked], false, true);
    for (const InfluenceMethod method : {InfluenceMethod::repsim, InfluenceMethod::cosine}) {
      const std::vector<double> found = scores.scores(method, query);
      CHECK_EQ(static_cast<size_t>(std::max_element(found.begin(), found.end()) - found.begin()), asked);
      CHECK(std::abs(found[asked] - 1) < 0.01);
    }
    for (const InfluenceMethod method : {InfluenceMethod::datainf, InfluenceMethod::logra, InfluenceMethod::less})
      CHECK(scores.scores(method, query)[asked] > 0);
  }
}

TEST(influence_of_gradients_is_what_a_step_does_to_the_answer) {
  Setup setup;
  setup.dims = kMostBlockDims;
  const std::vector<float> start = setup.training->values();
  // One projection has an error of about a tenth of the vectors' lengths; the mean of some is nearer.
  std::vector<double> found(4);
  for (setup.seed = 0; setup.seed < 16; ++setup.seed) {
    const InfluenceScores scores(setup.index());
    const InfluenceQuery query = influence_query(*setup.training, setup.layout(), setup.examples[1], false, true);
    const std::vector<double> once = scores.scores(InfluenceMethod::grad_dot, query);
    for (size_t i = 0; i < 4; ++i) found[i] += once[i] / 16;
  }
  const double before = setup.training->evaluate({&setup.examples[1], 1})[0].loss;
  for (size_t i = 0; i < 4; ++i) {
    const auto weight = static_cast<float>(std::count(setup.examples[i].weights.begin(), setup.examples[i].weights.end(), 1.0f));
    const std::vector<float> gradient = setup.training->gradient({&setup.examples[i], 1}, 1 / weight).second;
    std::vector<float> moved = start;
    for (size_t at = 0; at < moved.size(); ++at) moved[at] -= 1e-3f * gradient[at];
    setup.training->set_values(moved);
    const ExampleLoss after = setup.training->evaluate({&setup.examples[1], 1})[0];
    const double gained = (before - after.loss) / after.weight / 1e-3;
    double largest = 0;
    for (const double score : found) largest = std::max(largest, std::abs(score));
    CHECK(std::abs(gained - found[i]) < 0.1 * largest);
    setup.training->set_values(start);
  }
}

TEST(influence_query_by_token_adds_up_to_the_answers) {
  Setup setup;
  const TrainingExample& example = setup.examples[2];
  const InfluenceQuery whole = influence_query(*setup.training, setup.layout(), example, false, true);
  const InfluenceQuery tokens = influence_query(*setup.training, setup.layout(), example, true, true);
  CHECK_EQ(tokens.rows, static_cast<size_t>(std::count(example.weights.begin(), example.weights.end(), 1.0f)));
  const auto check = [&](const std::vector<float>& rows, const std::vector<float>& sum) {
    double difference = 0, length = 0;
    for (size_t column = 0; column < sum.size(); ++column) {
      double added = 0;
      for (size_t row = 0; row < tokens.rows; ++row) added += static_cast<double>(rows[row * sum.size() + column]);
      difference += std::pow(added - static_cast<double>(sum[column]), 2);
      length += std::pow(static_cast<double>(sum[column]), 2);
    }
    CHECK(std::sqrt(difference) < 1e-5 * std::sqrt(length));
  };
  check(tokens.states, whole.states);
  check(tokens.gradients[0], whole.gradients[0]);
  // However much of the forward pass is kept.
  const InfluenceQuery again = influence_query(*setup.training, setup.layout(), example, true, true);
  CHECK(again.gradients[0] == tokens.gradients[0]);
  CHECK_THROWS("has no target", influence_query(*setup.training, setup.layout(), {{1, 2}, {0, 0}}, true, true));
}

TEST(influence_state_of_an_answer_is_the_mean_of_the_engines) {
  Setup setup;
  EngineOptions options = options_for(setup.folder.path("tiny.gguf"));
  options.precision = Precision::float32;
  Harness engine(options);
  SequenceRequest request;
  request.prompt = {5, 6, 7, 8};
  request.max_tokens = 20;
  request.sampling.temperature = 0;
  request.answer_states = true;
  const Outcome answer = engine.run(request);
  TrainingExample example{request.prompt, std::vector<float>(4)};
  for (const int32_t token : answer.tokens) {
    example.tokens.push_back(token);
    example.weights.push_back(1);
  }
  setup.training->set_values(std::vector<float>(setup.training->info().values));  // the base
  const std::vector<float> state = influence_query(*setup.training, setup.layout(), example, false, false).states;
  double difference = 0, length = 0;
  for (size_t i = 0; i < state.size(); ++i) {
    double sum = 0;
    for (size_t at = i; at < answer.states.size(); at += state.size()) sum += static_cast<double>(answer.states[at]);
    difference += std::pow(static_cast<double>(state[i]) - sum / static_cast<double>(answer.tokens.size()), 2);
    length += std::pow(static_cast<double>(state[i]), 2);
  }
  CHECK(std::sqrt(difference) < 1e-3 * std::sqrt(length));
}
