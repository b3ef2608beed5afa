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

SequenceRequest pooled(std::vector<int32_t> prompt, Pool pool, uint32_t adapter = 0) {
  SequenceRequest request;
  request.prompt = std::move(prompt);
  request.pool = pool;
  request.adapter = adapter;
  return request;
}

SequenceRequest greedy(std::vector<int32_t> prompt, size_t tokens) {
  SequenceRequest request;
  request.prompt = std::move(prompt);
  request.max_tokens = tokens;
  request.sampling.temperature = 0;
  return request;
}

std::vector<int32_t> random_prompt(std::mt19937& random, size_t length) {
  // Few openings, so that prefixes are shared.
  const size_t opening = random() % 2;
  std::vector<int32_t> out;
  for (size_t i = 0; i < length; ++i) out.push_back(static_cast<int32_t>(i < 40 ? (opening * 31 + i * 7) % 128 : random() % 128));
  return out;
}

}  // namespace

TEST(pooling_is_invariant) {
  const TempDir folder;
  const std::string model = write_tiny_model(folder);
  std::vector<AdapterSpec> specs;
  for (uint32_t i = 0; i < 3; ++i) specs.push_back(write_tiny_adapter(folder, i + 1, 1 + 3 * i));
  for (const Precision precision : {Precision::int8, Precision::float32}) {
    EngineOptions solo = options_for(model);
    solo.precision = precision;
    solo.prefix_cache = false;
    solo.threads = 1;
    solo.isa = Isa::reference;
    Harness alone(solo);
    std::vector<uint32_t> adapters = {0};
    for (const AdapterSpec& spec : specs) adapters.push_back(alone->adapters().add(spec));
    std::mt19937 random(5);
    std::vector<SequenceRequest> requests;
    std::vector<Outcome> expected;
    for (int i = 0; i < 40; ++i) {
      // Whole contexts too; every third generates beside them.
      const std::vector<int32_t> prompt = random_prompt(random, i % 10 == 9 ? 256 : 1 + random() % 120);
      if (i % 3 == 2 && prompt.size() < 200) {
        requests.push_back(greedy(prompt, 1 + random() % 20));
        requests.back().logprobs = 0;
      } else {
        requests.push_back(pooled(prompt, random() % 2 ? Pool::mean : Pool::last));
      }
      requests.back().adapter = adapters[random() % adapters.size()];
      requests.back().tenant = std::string(1, static_cast<char>('a' + random() % 2));
      expected.push_back(alone.run(requests.back()));
      if (requests.back().pool == Pool::none) continue;
      CHECK(expected.back().finish == FinishReason::pooled);
      CHECK(expected.back().tokens.empty());
      CHECK_EQ(expected.back().pooled.size(), kHidden);
    }
    struct Variant {
      size_t threads, step_tokens, kv_bytes;
      bool prefix_cache;
    };
    for (const Variant& v : {Variant{1, 16, 8 << 20, true}, Variant{2, 64, 8 << 20, true}, Variant{2, 512, 8 << 20, false},
                             Variant{3, 7, 8 << 20, true},
                             // Pages for little more than one sequence: constant preemption.
                             Variant{2, 64, 100 << 10, true}}) {
      for (const Isa isa : {Isa::reference, Isa::avx2, Isa::avx512}) {
        if (!isa_supported(isa)) continue;
        EngineOptions options = solo;
        options.threads = v.threads;
        options.step_tokens = v.step_tokens;
        options.kv_bytes = v.kv_bytes;
        options.prefix_cache = v.prefix_cache;
        options.isa = isa;
        Harness together(options);
        for (const AdapterSpec& spec : specs) together->adapters().add(spec);
        const size_t longest = together->info().max_context;
        std::vector<uint32_t> ids;
        for (const SequenceRequest& request : requests)
          ids.push_back(request.prompt.size() <= longest ? together->submit(request) : 0);
        for (size_t i = 0; i < ids.size(); ++i)
          if (ids[i] != 0) CHECK_EQ(together.wait(ids[i]), expected[i]);
        CHECK_EQ(settled(together).pages_used, 0u);
      }
    }
  }
}

TEST(pooling_means_what_it_says) {
  const TempDir folder;
  EngineOptions options = options_for(write_tiny_model(folder));
  options.precision = Precision::float32;
  Harness engine(options);
  const AdapterSpec spec = write_tiny_adapter(folder, 1, 4);
  const uint32_t adapter = engine->adapters().add(spec);
  std::mt19937 random(11);
  const std::vector<int32_t> prompt = random_prompt(random, 50);
  // The state at a position depends on the tokens before it alone, so the mean is that of the prefixes' last states.
  std::vector<float> sum(kHidden);
  for (size_t length = 1; length <= prompt.size(); ++length) {
    const Outcome last = engine.run(pooled({prompt.begin(), prompt.begin() + static_cast<std::ptrdiff_t>(length)}, Pool::last));
    for (size_t i = 0; i < kHidden; ++i) sum[i] += last.pooled[i];
  }
  for (float& value : sum) value /= static_cast<float>(prompt.size());
  const Outcome mean = engine.run(pooled(prompt, Pool::mean));
  CHECK(mean.pooled == sum);
  CHECK_EQ(mean.cached_tokens, 0);  // every row is needed
  CHECK(engine.run(pooled(prompt, Pool::last)).cached_tokens > 0);
  CHECK(engine.run(pooled(prompt, Pool::mean, adapter)).pooled != mean.pooled);
  for (const float value : mean.pooled) CHECK(std::isfinite(value));
}

TEST(pooling_that_is_cancelled_or_wrong_leaves_nothing) {
  const TempDir folder;
  EngineOptions options = options_for(write_tiny_model(folder));
  options.step_tokens = 4;
  Harness engine(options);
  std::mt19937 random(3);
  const std::vector<int32_t> prompt = random_prompt(random, 256);
  for (int i = 0; i < 20; ++i) {
    const uint32_t id = engine->submit(pooled(prompt, Pool::mean));
    if (i % 2) std::this_thread::yield();
    engine->cancel(id);
    const Outcome outcome = engine.wait(id);
    CHECK(outcome.finish == FinishReason::cancelled || outcome.finish == FinishReason::pooled);
  }
  CHECK_EQ(settled(engine).pages_used, 0u);
  const auto refuses = [&](const SequenceRequest& request) {
    try {
      engine->submit(request);
      return false;
    } catch (const Error& error) {
      return error.code() == ErrorCode::invalid_argument;
    }
  };
  CHECK(refuses(pooled(random_prompt(random, 257), Pool::mean)));
  CHECK(refuses(pooled({}, Pool::mean)));
  SequenceRequest masked = pooled(prompt, Pool::mean);
  masked.mask = MaskWords(4, ~0u);
  CHECK(refuses(masked));
}
