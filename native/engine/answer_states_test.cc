#include <cmath>
#include <random>

#include "engine/engine.h"
#include "testing/engine_harness.h"
#include "testing/test.h"
#include "testing/tiny_model.h"

using namespace colophon;
using colophon::testing::Harness;
using colophon::testing::options_for;
using colophon::testing::Outcome;
using colophon::testing::settled;
using colophon::testing::TempDir;
using colophon::testing::write_tiny_adapter;
using colophon::testing::write_tiny_model;

namespace {

constexpr size_t kHidden = 64;

SequenceRequest asking(std::vector<int32_t> prompt, size_t tokens, uint32_t adapter = 0) {
  SequenceRequest request;
  request.prompt = std::move(prompt);
  request.max_tokens = tokens;
  request.sampling.temperature = 0;
  request.adapter = adapter;
  request.answer_states = true;
  return request;
}

/// Few openings, so that prefixes are shared; some repeat themselves, so that guesses at what follows are right.
std::vector<int32_t> random_prompt(std::mt19937& random, size_t length) {
  const size_t opening = random() % 2, period = random() % 2 ? 6 : 128;
  std::vector<int32_t> out;
  for (size_t i = 0; i < length; ++i)
    out.push_back(static_cast<int32_t>(i < 40 ? (opening * 31 + i % period * 7) % 128 : random() % 128));
  return out;
}

}  // namespace

TEST(answer_states_are_those_that_the_tokens_were_drawn_from) {
  const TempDir folder;
  for (const Precision precision : {Precision::float32, Precision::int8}) {
    EngineOptions options = options_for(write_tiny_model(folder));
    options.precision = precision;
    Harness engine(options);
    for (const uint32_t adapter : {0u, engine->adapters().add(write_tiny_adapter(folder, 1, 4))}) {
      std::mt19937 random(7);
      const std::vector<int32_t> prompt = random_prompt(random, 45);
      const Outcome answer = engine.run(asking(prompt, 30, adapter));
      CHECK_EQ(answer.tokens.size(), 30u);
      // What a token is drawn from is the last state of all that comes before it.
      std::vector<float> states;
      std::vector<int32_t> before = prompt;
      for (const int32_t token : answer.tokens) {
        SequenceRequest pooled;
        pooled.prompt = before;
        pooled.adapter = adapter;
        pooled.pool = Pool::last;
        const std::vector<float> state = engine.run(pooled).pooled;
        states.insert(states.end(), state.begin(), state.end());
        before.push_back(token);
      }
      CHECK(answer.states == states);
    }
  }
}

TEST(answer_states_are_the_same_in_every_batch) {
  const TempDir folder;
  const std::string model = write_tiny_model(folder);
  std::vector<AdapterSpec> specs;
  for (uint32_t i = 0; i < 2; ++i) specs.push_back(write_tiny_adapter(folder, i + 1, 1 + 3 * i));
  EngineOptions solo = options_for(model);
  solo.prefix_cache = false;
  solo.speculate = false;
  solo.threads = 1;
  solo.isa = Isa::reference;
  Harness alone(solo);
  std::vector<uint32_t> adapters = {0};
  for (const AdapterSpec& spec : specs) adapters.push_back(alone->adapters().add(spec));
  std::mt19937 random(5);
  std::vector<SequenceRequest> requests;
  std::vector<Outcome> expected;
  for (int i = 0; i < 30; ++i) {
    requests.push_back(asking(random_prompt(random, 1 + random() % 90), 1 + random() % 40, adapters[random() % adapters.size()]));
    SequenceRequest& request = requests.back();
    request.answer_states = i % 5 != 0;
    if (i % 3 == 0) request.sampling = {.temperature = 1, .seed = random()};
    if (i % 4 == 0)
      for (int32_t token = 0; token < 128; token += 9) request.stop_token_ids.push_back(token);
    expected.push_back(alone.run(request));
    CHECK_EQ(expected.back().states.size(), request.answer_states ? expected.back().tokens.size() * kHidden : 0u);
    for (const float value : expected.back().states) CHECK(std::isfinite(value));
  }
  struct Variant {
    size_t threads, step_tokens, kv_bytes;
    bool prefix_cache;
  };
  uint64_t accepted = 0, preempted = 0;
  for (const Variant& v : {Variant{1, 16, 8 << 20, true}, Variant{2, 64, 8 << 20, true}, Variant{2, 512, 8 << 20, false},
                           Variant{3, 7, 8 << 20, true},
                           // Pages for little more than one sequence: constant preemption.
                           Variant{2, 64, 100 << 10, true}}) {
    for (const Isa isa : {Isa::reference, Isa::avx2, Isa::avx512}) {
      if (!isa_supported(isa)) continue;
      EngineOptions options = solo;
      options.speculate = true;
      options.threads = v.threads;
      options.step_tokens = v.step_tokens;
      options.kv_bytes = v.kv_bytes;
      options.prefix_cache = v.prefix_cache;
      options.isa = isa;
      Harness together(options);
      for (const AdapterSpec& spec : specs) together->adapters().add(spec);
      std::vector<uint32_t> ids;
      for (const SequenceRequest& request : requests) ids.push_back(together->submit(request));
      for (size_t i = 0; i < ids.size(); ++i) CHECK_EQ(together.wait(ids[i]), expected[i]);
      const EngineStats stats = settled(together);
      accepted += stats.accepted_tokens;
      preempted += stats.preemptions;
    }
  }
  CHECK(accepted > 0);
  CHECK(preempted > 0);
}

TEST(answer_states_of_an_answer_that_waits_for_masks_come_once) {
  const TempDir folder;
  const std::string model = write_tiny_model(folder);
  Harness free(options_for(model));
  const Outcome expected = free.run(asking({1, 2, 3}, 12));
  const MaskWords all(4, ~0u);
  Harness engine(options_for(model), [&](Engine& of, const StepEntry& entry) {
    of.set_mask(entry.sequence, static_cast<size_t>(entry.position) + 1, all);
  });
  SequenceRequest request = asking({1, 2, 3}, 12);
  request.mask = all;
  const Outcome outcome = engine.run(request);
  CHECK_EQ(outcome, expected);
}

TEST(answer_states_of_a_cancelled_answer_are_those_of_its_tokens) {
  const TempDir folder;
  Harness engine(options_for(write_tiny_model(folder)));
  const uint32_t id = engine->submit(asking({1, 2, 3}, 250));
  engine.wait_tokens(id, 1);
  engine->cancel(id);
  const Outcome outcome = engine.wait(id);
  CHECK_EQ(outcome.states.size(), outcome.tokens.size() * kHidden);
}
