#include "trainer/trainer.h"

#include <cmath>

#include "ops/op_testing.h"
#include "testing/test.h"
#include "testing/tiny_model.h"
#include "trainer/adamw.h"

using namespace colophon;
using namespace colophon::testing;

namespace {

std::vector<AdaptedModule> all_linears(uint32_t rank, float scaling, uint32_t first_layer = 0) {
  std::vector<AdaptedModule> modules;
  for (uint32_t layer = first_layer; layer < 2; ++layer)
    for (size_t i = 0; i < kLinearsPerLayer; ++i) modules.push_back({layer, static_cast<Linear>(i), rank, scaling, false});
  return modules;
}

/// A tiny model, a random adapter and random examples on one instruction set.
struct Setup {
  TempDir folder;
  ThreadPool pool;
  OpContext context;
  ModelFile file;
  TransformerWeights weights;
  TrainableAdapter adapter;
  std::vector<TrainingExample> examples;

  explicit Setup(Isa isa = Isa::reference, size_t threads = 1, const std::vector<AdaptedModule>& modules = all_linears(3, 2))
      : pool(threads),
        context{pool, isa},
        file(ModelFile::open_gguf(write_tiny_model(folder))),
        weights(context, file, transformer_traits("llama"), 256),
        adapter(modules, weights.adapter_base()) {
    std::mt19937 random(9);
    const std::vector<float> values = random_floats(adapter.values().size(), random, 0.05f);
    std::copy(values.begin(), values.end(), adapter.values().begin());
    for (const size_t length : {7u, 1u, 60u, 23u, 2u}) {
      TrainingExample example;
      for (size_t i = 0; i < length; ++i) {
        example.tokens.push_back(static_cast<int32_t>(random() % 128));
        example.weights.push_back(i == 0 || random() % 3 == 0 ? 0.0f : 1.0f);
      }
      examples.push_back(example);
    }
  }

  std::vector<float> gradients(const TrainerOptions& options = {}, const Dropout& dropout = {}) {
    std::vector<float> sums(adapter.values().size());
    Trainer(context, weights, adapter, options).gradients(examples, 0.25f, dropout, sums);
    return sums;
  }
  double loss() {
    double sum = 0;
    for (const ExampleLoss& of : Trainer(context, weights, adapter, {}).evaluate(examples)) sum += of.loss;
    return sum;
  }
};

}  // namespace

TEST(trainer_gradients_are_the_losss_slope) {
  Setup setup;
  const std::vector<float> gradients = setup.gradients();
  std::mt19937 random(3);
  // Along random directions, and along single modules'.
  for (int direction = 0; direction < 12; ++direction) {
    std::vector<float> along = random_floats(gradients.size(), random, 1);
    if (direction >= 3) {
      const TrainableModule& module = setup.adapter.modules()[random() % setup.adapter.modules().size()];
      const size_t size = direction % 2 == 0 ? size_t{module.in} * module.module.rank : size_t{module.out} * module.module.rank;
      const size_t first = direction % 2 == 0 ? module.a : module.b;
      for (size_t i = 0; i < along.size(); ++i)
        if (i < first || i >= first + size) along[i] = 0;
    }
    double expected = 0, length = 0;
    for (size_t i = 0; i < along.size(); ++i) {
      expected += static_cast<double>(along[i]) * static_cast<double>(gradients[i]) / 0.25;
      length += static_cast<double>(along[i]) * static_cast<double>(along[i]);
    }
    const auto step = static_cast<float>(0.02 / std::sqrt(length));
    const std::vector<float> start(setup.adapter.values().begin(), setup.adapter.values().end());
    const auto at = [&](float distance) {
      for (size_t i = 0; i < along.size(); ++i) setup.adapter.values()[i] = start[i] + distance * along[i];
      return setup.loss();
    };
    const double slope = (at(step) - at(-step)) / (2 * static_cast<double>(step));
    std::copy(start.begin(), start.end(), setup.adapter.values().begin());
    const double scale = std::max(1e-3 * std::sqrt(length), std::abs(expected));
    CHECK(std::abs(slope - expected) <= 0.02 * scale + 2e-4 * std::sqrt(length));
  }
}

TEST(trainer_gives_the_same_bits_on_every_machine) {
  const std::vector<float> expected = Setup().gradients();
  const double loss = Setup().loss();
  for (const Isa isa : supported_isas()) {
    for (const size_t threads : {1u, 3u}) {
      Setup setup(isa, threads);
      CHECK(same_bits(expected, setup.gradients()));
      CHECK(loss == setup.loss());
      // However many rows at once, and whatever is computed again.
      CHECK(same_bits(expected, setup.gradients({.max_rows = 60, .activation_bytes = 0})));
      CHECK(same_bits(expected, setup.gradients({.max_rows = 70, .activation_bytes = 120000})));
    }
  }
}

TEST(trainer_examples_one_by_one_give_what_all_give) {
  Setup setup;
  const std::vector<float> expected = setup.gradients();
  Trainer trainer(setup.context, setup.weights, setup.adapter, {});
  std::vector<float> sums(expected.size());
  for (const TrainingExample& example : setup.examples) trainer.gradients({&example, 1}, 0.25f, {}, sums);
  CHECK(same_bits(expected, sums));
}

TEST(trainer_leaves_what_is_below_the_first_module_alone) {
  const std::vector<float> both = Setup().gradients();
  Setup setup(Isa::reference, 1, all_linears(3, 2, 1));
  const size_t count = setup.adapter.values().size();
  CHECK_EQ(count, both.size() / 2);
  CHECK(setup.gradients() == setup.gradients({.max_rows = 60, .activation_bytes = 0}));
}

TEST(trainer_drops_the_same_inputs_each_time) {
  const Dropout dropout{0.3f, 5, 100};
  const std::vector<float> expected = Setup().gradients({}, dropout);
  CHECK(!same_bits(expected, Setup().gradients()));
  CHECK(!same_bits(expected, Setup().gradients({}, {0.3f, 6, 100})));
  for (const Isa isa : supported_isas())
    CHECK(same_bits(expected, Setup(isa, 2).gradients({.max_rows = 60, .activation_bytes = 0}, dropout)));
  // Without rate and seed nothing is dropped; the mean over seeds comes near that.
  const std::vector<float> without = Setup().gradients();
  std::vector<double> mean(without.size());
  for (uint64_t seed = 0; seed < 40; ++seed) {
    const std::vector<float> one = Setup().gradients({}, {0.05f, seed, 0});
    for (size_t i = 0; i < mean.size(); ++i) mean[i] += static_cast<double>(one[i]) / 40;
  }
  double product = 0, length = 0;
  for (size_t i = 0; i < mean.size(); ++i) {
    product += mean[i] * static_cast<double>(without[i]);
    length += static_cast<double>(without[i]) * static_cast<double>(without[i]);
  }
  CHECK(std::abs(product / length - 1) < 0.1);
}

TEST(trainer_learns) {
  Setup setup;
  setup.adapter.initialise(1);
  AdamW optimiser(setup.adapter.values().size(), {});
  Trainer trainer(setup.context, setup.weights, setup.adapter, {});
  const double before = setup.loss();
  for (int step = 0; step < 40; ++step) {
    std::vector<float> sums(setup.adapter.values().size());
    trainer.gradients(setup.examples, 0.02f, {}, sums);
    CHECK(std::isfinite(gradient_norm(sums)));
    optimiser.step(setup.context, setup.adapter.values(), sums, 0.02);
  }
  CHECK(setup.loss() < 0.3 * before);
}

TEST(trainer_refuses_what_it_cannot_learn) {
  Setup setup;
  Trainer trainer(setup.context, setup.weights, setup.adapter, {.max_rows = 8});
  const auto evaluate = [&](const TrainingExample& example) { return trainer.evaluate({&example, 1}); };
  CHECK_THROWS("no tokens", evaluate({{}, {}}));
  CHECK_THROWS("1 weights for 2 tokens", evaluate({{1, 2}, {0}}));
  CHECK_THROWS("nothing is before it", evaluate({{1, 2}, {1, 0}}));
  CHECK_THROWS("128 is not in the vocabulary of 128", evaluate({{1, 128}, {0, 1}}));
  CHECK_THROWS("0 or more", evaluate({{1, 2}, {0, NAN}}));
  CHECK_THROWS("at most 8", evaluate({std::vector<int32_t>(9, 1), std::vector<float>(9, 0)}));
  const auto make = [&](const std::vector<AdaptedModule>& modules) {
    return TrainableAdapter(modules, setup.weights.adapter_base());
  };
  CHECK_THROWS("at least one", make({}));
  CHECK_THROWS("the base has 2 layers", make({{2, Linear::q, 1, 1, false}}));
  CHECK_THROWS("rank is 0", make({{0, Linear::q, 0, 1, false}}));
  CHECK_THROWS("twice", make({{0, Linear::q, 1, 1, false}, {0, Linear::q, 1, 1, false}}));
}
