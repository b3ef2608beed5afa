#include "trainer/trainer.h"

#include <cmath>

#include "ops/op_testing.h"
#include "testing/test.h"
#include "testing/tiny_model.h"
#include "trainer/adamw.h"
#include "trainer/training.h"

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
    Trainer(context, weights, adapter, options).gradients(examples, std::vector<float>(examples.size(), 0.25f), dropout, sums);
    return sums;
  }
  std::vector<float> one_by_one(Dropout dropout = {}) {
    Trainer trainer(context, weights, adapter, {});
    std::vector<float> sums(adapter.values().size());
    const float factor = 0.25f;
    for (const TrainingExample& example : examples) {
      trainer.gradients({&example, 1}, {&factor, 1}, dropout, sums);
      ++dropout.first_example;
    }
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
  CHECK(same_bits(expected, setup.one_by_one()));
}

TEST(trainer_computes_what_examples_have_in_common_once) {
  const auto branching = [](Setup& setup) {
    const std::vector<int32_t> trunk = setup.examples[2].tokens;  // 60 tokens
    const auto add = [&](size_t common, std::vector<int32_t> own, size_t first_target) {
      TrainingExample example{{trunk.begin(), trunk.begin() + static_cast<ptrdiff_t>(common)}, {}};
      example.tokens.insert(example.tokens.end(), own.begin(), own.end());
      for (size_t i = 0; i < example.tokens.size(); ++i) example.weights.push_back(i > 0 && i >= first_target ? 1.0f : 0.0f);
      setup.examples.push_back(example);
    };
    add(50, {1, 2, 3, 4, 5}, 50);
    add(50, {1, 2, 9}, 50);
    add(20, {7, 8}, 12);
    add(60, {}, 60);  // without a target
    add(60, {}, 40);
    add(30, {}, 29);
    setup.examples.push_back(setup.examples.back());
  };
  Setup plain;
  branching(plain);
  const std::vector<float> expected = plain.gradients(), apart = plain.one_by_one();
  const double loss = plain.loss();
  double difference = 0, length = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    difference += std::pow(static_cast<double>(expected[i]) - static_cast<double>(apart[i]), 2);
    length += std::pow(static_cast<double>(apart[i]), 2);
  }
  CHECK(std::sqrt(difference / length) < 1e-5);
  for (const Isa isa : supported_isas())
    for (const size_t threads : {1u, 3u}) {
      Setup setup(isa, threads);
      branching(setup);
      CHECK(same_bits(expected, setup.gradients()));
      CHECK(same_bits(expected, setup.gradients({.activation_bytes = 0})));
      CHECK(loss == setup.loss());
    }
  // A forward pass is the same bits whether shared or not.
  Trainer trainer(plain.context, plain.weights, plain.adapter, {});
  const std::vector<ExampleLoss> together = trainer.evaluate(plain.examples);
  for (size_t i = 0; i < together.size(); ++i) CHECK(together[i].loss == trainer.evaluate({&plain.examples[i], 1})[0].loss);
}

TEST(trainer_shares_nothing_where_inputs_are_dropped) {
  Setup setup;
  setup.examples.push_back(setup.examples[2]);
  const Dropout dropout{0.3f, 5, 0};
  CHECK(same_bits(setup.gradients({}, dropout), setup.one_by_one(dropout)));
}

TEST(trainer_evaluates_the_base_as_an_adapter_of_zeros) {
  Setup setup;
  Trainer trainer(setup.context, setup.weights, setup.adapter, {});
  const std::vector<ExampleLoss> base = trainer.evaluate_base(setup.examples);
  const std::vector<ExampleLoss> adapted = trainer.evaluate(setup.examples);
  std::fill(setup.adapter.values().begin(), setup.adapter.values().end(), 0.0f);
  const std::vector<ExampleLoss> zeros = trainer.evaluate(setup.examples);
  for (size_t i = 0; i < base.size(); ++i) CHECK(base[i].loss == zeros[i].loss);
  CHECK(base[2].loss != adapted[2].loss);
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
    trainer.gradients(setup.examples, std::vector<float>(setup.examples.size(), 0.02f), {}, sums);
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

TEST(training_prefers_what_is_preferred) {
  TempDir folder;
  TrainingOptions options;
  options.model.gguf_path = write_tiny_model(folder);
  options.threads = 2;
  options.modules = all_linears(4, 2);
  options.trainer.max_rows = 128;
  const auto answer = [](std::vector<int32_t> tokens) {
    TrainingExample example{{5, 6, 7}, {0, 0, 0}};
    for (const int32_t token : tokens) {
      example.tokens.push_back(token);
      example.weights.push_back(1);
    }
    return example;
  };
  const std::vector<PreferencePair> pairs{{answer({1, 2, 3}), answer({4, 8})}, {answer({9, 10}), answer({11, 12, 13})}};
  Training training(options);
  training.initialise(1);
  const PreferenceStep before = training.compare(pairs, 0.5);
  CHECK(std::abs(before.loss - std::log(2.0)) < 1e-6);  // B is zero: the adapter says what the base says
  for (int step = 0; step < 60; ++step) training.prefer(pairs, 0.5, {0.01, {}, {}});
  const PreferenceStep after = training.compare(pairs, 0.5);
  CHECK_EQ(after.ranked, 2u);
  CHECK(after.loss < 0.2);
  CHECK_THROWS("beta is 0", training.compare(pairs, 0));
  CHECK_THROWS("no pairs", training.compare({}, 1));
  CHECK_THROWS("learning rate", training.prefer(pairs, 1, {NAN, {}, {}}));
}

TEST(training_goes_on_where_it_was) {
  TempDir folder;
  const std::string model = write_tiny_model(folder);
  const auto make = [&](size_t threads) {
    TrainingOptions options;
    options.model.gguf_path = model;
    options.threads = threads;
    options.modules = all_linears(4, 2);
    options.trainer.max_rows = 128;
    return options;
  };
  const std::vector<TrainingExample> examples = Setup().examples;
  const TrainingStepOptions step{0.01, 1.0, {0.1f, 3, 0}};
  Training whole(make(1));
  whole.initialise(7);
  for (int i = 0; i < 6; ++i) whole.step(examples, step);
  Training first(make(2)), second(make(1));
  first.initialise(7);
  for (int i = 0; i < 3; ++i) first.step(examples, step);
  second.set_values(first.values());
  second.restore_optimiser(first.optimiser());
  for (int i = 0; i < 3; ++i) second.step(examples, step);
  CHECK(same_bits(whole.values(), second.values()));
  CHECK_THROWS("has 1 values", second.set_values(std::vector<float>(1)));
}
