#include "engine/engine.h"

#include <future>
#include <random>

#include "model/model_file.h"
#include "ops/attention.h"
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

SequenceRequest random_request(std::mt19937& random, const std::vector<uint32_t>& adapters) {
  SequenceRequest request;
  // Few different openings, so that prefixes are shared.
  const int32_t opening = static_cast<int32_t>(random() % 3);
  const size_t length = 1 + random() % 70;
  for (size_t i = 0; i < length; ++i)
    request.prompt.push_back(i < 40 ? static_cast<int32_t>((opening * 31 + i * 7) % 128) : static_cast<int32_t>(random() % 128));
  const size_t choice = random() % (adapters.size() + 1);
  request.adapter = choice == adapters.size() ? 0 : adapters[choice];
  request.max_tokens = 1 + random() % 30;
  request.sampling.temperature = random() % 2 ? 0 : 0.8;
  request.sampling.seed = random();
  if (random() % 4 == 0) request.sampling.repetition_penalty = 1.2;
  if (random() % 4 == 0) request.sampling.top_k = 20;
  request.logprobs = 0;
  request.tenant = std::string(1, static_cast<char>('a' + random() % 3));
  request.priority = static_cast<int32_t>(random() % 3) - 1;
  return request;
}

}  // namespace

TEST(engine_batches_are_invariant) {
  const TempDir folder;
  const std::string model = write_tiny_model(folder);
  std::vector<AdapterSpec> specs;
  for (uint32_t i = 0; i < 6; ++i) specs.push_back(write_tiny_adapter(folder, i + 1, 1 + 3 * i));
  for (const Precision precision : {Precision::int8, Precision::float32}) {
    // The solo runs: one at a time, no prefix cache, no speculation, one thread, the plain kernels.
    EngineOptions solo = options_for(model);
    solo.precision = precision;
    solo.prefix_cache = false;
    solo.speculate = false;
    solo.threads = 1;
    solo.isa = Isa::reference;
    Harness alone(solo);
    std::vector<uint32_t> adapters;
    for (const AdapterSpec& spec : specs) adapters.push_back(alone->adapters().add(spec));
    std::mt19937 random(99);
    std::vector<SequenceRequest> requests;
    std::vector<Outcome> expected;
    for (int i = 0; i < 40; ++i) {
      requests.push_back(random_request(random, adapters));
      expected.push_back(alone.run(requests.back()));
      CHECK_EQ(expected.back().tokens.size(), requests.back().max_tokens);
    }
    // Handles are given in order, so they are the same in every engine.
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
        options.speculate = true;
        options.isa = isa;
        Harness together(options);
        for (const AdapterSpec& spec : specs) together->adapters().add(spec);
        std::vector<uint32_t> ids;
        for (const SequenceRequest& request : requests) ids.push_back(together->submit(request));
        for (size_t i = 0; i < ids.size(); ++i) CHECK_EQ(together.wait(ids[i]), expected[i]);
        const EngineStats stats = settled(together);
        CHECK_EQ(stats.pages_used, 0u);
        if (v.kv_bytes < 1 << 20 && precision == Precision::float32) CHECK(stats.preemptions > 0);
      }
    }
  }
}

TEST(engine_speculation_changes_no_result) {
  const TempDir folder;
  const std::string model = write_tiny_model(folder);
  const AdapterSpec spec = write_tiny_adapter(folder, 1, 4);
  EngineOptions options = options_for(model);
  options.speculate = false;
  Harness plain(options);
  options.speculate = true;
  Harness speculating(options);
  options.step_tokens = 3;
  Harness narrow(options);
  // Hardly a page to spare for a draft.
  options.step_tokens = 64;
  options.kv_bytes = 100 << 10;
  Harness tight(options);
  Harness* const others[] = {&speculating, &narrow, &tight};
  const std::vector<uint32_t> adapters = {plain->adapters().add(spec)};
  for (Harness* other : others) (*other)->adapters().add(spec);

  std::mt19937 random(7);
  for (int round = 0; round < 40; ++round) {
    // Prompts that repeat themselves, so that there is something to guess; few at a time, so that guesses are made.
    std::vector<SequenceRequest> requests(1 + random() % 3);
    for (SequenceRequest& request : requests) {
      request = random_request(random, adapters);
      const size_t period = 2 + random() % 9;
      request.prompt.resize(10 + random() % 60);
      for (size_t i = 0; i < request.prompt.size(); ++i) request.prompt[i] = static_cast<int32_t>(i % period * 5);
      request.max_tokens = 1 + random() % 60;
      if (random() % 3 == 0) request.min_tokens = random() % request.max_tokens;
      if (random() % 3 == 0) request.stop_token_ids = {static_cast<int32_t>(random() % 128), static_cast<int32_t>(random() % 128)};
      if (random() % 3 == 0) request.prompt_logprobs = 0;
    }
    std::vector<Outcome> expected;
    for (const SequenceRequest& request : requests) expected.push_back(plain.run(request));
    for (Harness* other : others) {
      std::vector<uint32_t> ids;
      for (const SequenceRequest& request : requests) ids.push_back((*other)->submit(request));
      for (size_t i = 0; i < ids.size(); ++i) CHECK_EQ(other->wait(ids[i]), expected[i]);
    }
  }
  CHECK_EQ(settled(plain).drafted_tokens, 0u);
  for (Harness* other : others) {
    const EngineStats stats = settled(*other);
    CHECK(stats.drafted_tokens > 0);
    CHECK(stats.accepted_tokens > 0 && stats.accepted_tokens <= stats.drafted_tokens);
    CHECK_EQ(stats.pages_used, 0u);
    CHECK_EQ(stats.generated_tokens, settled(plain).generated_tokens);
  }
  CHECK(settled(speculating).steps < settled(plain).steps);
}

TEST(engine_reuses_prefixes_but_not_across_adapters_or_salts) {
  const TempDir folder;
  Harness harness(options_for(write_tiny_model(folder)));
  AdapterSpec spec = write_tiny_adapter(folder, 1, 4);
  const uint32_t adapter = harness->adapters().add(spec);
  SequenceRequest request;
  for (int32_t i = 0; i < 50; ++i) request.prompt.push_back(i);
  request.sampling.temperature = 0;
  request.max_tokens = 2;
  CHECK_EQ(harness.run(request).cached_tokens, 0);
  CHECK_EQ(harness.run(request).cached_tokens, 48);
  request.cache_salt = "tenant";
  CHECK_EQ(harness.run(request).cached_tokens, 0);
  CHECK_EQ(harness.run(request).cached_tokens, 48);
  request.cache_salt = "";
  request.adapter = adapter;
  CHECK_EQ(harness.run(request).cached_tokens, 0);
  CHECK_EQ(harness.run(request).cached_tokens, 48);
  // Other content under the old name: nothing of the old is met. The old content again: all of it is.
  const AdapterSpec other = write_tiny_adapter(folder, 2, 4);
  AdapterSpec renamed = other;
  renamed.name = spec.name;
  request.adapter = harness->adapters().add(renamed);
  CHECK_EQ(harness.run(request).cached_tokens, 0);
  harness->adapters().remove(adapter);
  request.adapter = harness->adapters().add(spec);
  CHECK_EQ(harness.run(request).cached_tokens, 48);
}

TEST(engine_cancels_within_a_step_and_frees_the_pages) {
  const TempDir folder;
  Harness harness(options_for(write_tiny_model(folder)));
  std::mt19937 random(5);
  std::vector<uint32_t> ids;
  for (int i = 0; i < 60; ++i) {
    SequenceRequest request = random_request(random, {});
    request.max_tokens = 200 - request.prompt.size();
    ids.push_back(harness->submit(request));
  }
  for (const uint32_t id : ids) {
    harness.wait_tokens(id, random() % 5);
    harness->cancel(id);
  }
  for (const uint32_t id : ids) {
    const FinishReason finish = harness.wait(id).finish;
    CHECK(finish == FinishReason::cancelled || finish == FinishReason::length);
  }
  const EngineStats stats = settled(harness);
  CHECK_EQ(stats.pages_used, 0u);
  harness->cancel(ids[0]);  // finished: ignored
  harness->cancel(123456);  // unknown: ignored
}

TEST(engine_keeps_adapters_within_their_budget) {
  const TempDir folder;
  EngineOptions options = options_for(write_tiny_model(folder));
  std::vector<AdapterSpec> specs;
  for (uint32_t i = 0; i < 8; ++i) specs.push_back(write_tiny_adapter(folder, i + 1, 8));
  Harness roomy(options);
  std::vector<uint32_t> adapters;
  for (const AdapterSpec& spec : specs) adapters.push_back(roomy->adapters().add(spec));
  const size_t each = roomy->adapters().state(adapters[0]).bytes;

  options.adapter_bytes = each * 5 / 2;  // two fit
  Harness tight(options);
  for (const AdapterSpec& spec : specs) tight->adapters().add(spec);
  std::mt19937 random(3);
  std::vector<SequenceRequest> requests;
  std::vector<uint32_t> ids;
  for (int i = 0; i < 64; ++i) {
    requests.push_back(random_request(random, adapters));
    ids.push_back(tight->submit(requests.back()));
  }
  for (size_t i = 0; i < ids.size(); ++i) {
    CHECK_EQ(tight.wait(ids[i]), roomy.run(requests[i]));
    CHECK(tight->stats().adapters.bytes_used <= options.adapter_bytes);
  }
  const EngineStats stats = tight->stats();
  CHECK(stats.adapters.evictions >= 6);
  CHECK(stats.adapters.resident <= 2);

  options.adapter_bytes = each / 2;
  Harness none(options);
  CHECK_THROWS("more than the whole budget", none->adapters().add(specs[0]));
}

TEST(engine_lends_memory_between_pages_and_adapters) {
  const TempDir folder;
  EngineOptions options = options_for(write_tiny_model(folder));
  std::vector<AdapterSpec> specs;
  for (uint32_t i = 0; i < 12; ++i) specs.push_back(write_tiny_adapter(folder, i + 1, 8));
  Harness roomy(options);
  std::vector<uint32_t> adapters;
  for (const AdapterSpec& spec : specs) adapters.push_back(roomy->adapters().add(spec));
  const size_t each = roomy->adapters().state(adapters[0]).bytes;
  const size_t page = roomy->info().kv_bytes / roomy->info().kv_pages;

  constexpr size_t kSharePages = 20;
  options.kv_bytes = kSharePages * page;
  options.adapter_bytes = each * 6;
  options.lend_memory = true;
  const size_t budget = options.kv_bytes + options.adapter_bytes;
  Harness tight(options);
  for (const AdapterSpec& spec : specs) tight->adapters().add(spec);
  // Once what the loop last recorded of the pages and what the store has now are of one moment.
  const auto within_budget = [&](Harness& harness) {
    for (int tries = 0; tries < 1'000'000; ++tries) {
      const EngineStats stats = settled(harness);
      if ((stats.pages_used + stats.pages_cached) * page + stats.adapters.bytes_used <= budget) return true;
      std::this_thread::yield();
    }
    return false;
  };
  const auto load = [&](uint32_t handle) {
    std::promise<bool> loaded;
    tight->adapters().load(handle, [&](const Error* error) { loaded.set_value(error == nullptr); });
    CHECK(loaded.get_future().get());
  };
  std::mt19937 random(29);
  const auto prompt_of = [&](size_t tokens) {
    SequenceRequest request;
    for (size_t i = 0; i < tokens; ++i) request.prompt.push_back(static_cast<int32_t>(random() % 128));
    request.logprobs = 0;
    return request;
  };

  // Kept prefixes fill what the adapters leave, and go where these need their share.
  for (int i = 0; i < 40; ++i) tight.run(prompt_of(4 * kPageTokens));
  CHECK(settled(tight).pages_cached > kSharePages);
  for (size_t i = 0; i < 6; ++i) load(adapters[i]);
  EngineStats stats = settled(tight);
  CHECK_EQ(stats.adapters.resident, 6u);
  CHECK_EQ(stats.adapters.evictions, 0u);
  CHECK(stats.pages_cached >= kSharePages - 1);
  CHECK(within_budget(tight));

  // Adapters fill what the pages leave, and go where these need their share.
  options.prefix_cache = false;
  Harness other(options);
  for (const AdapterSpec& spec : specs) other->adapters().add(spec);
  std::mt19937 mixed(31);
  for (int round = 0; round < 3; ++round) {
    for (const uint32_t handle : adapters) {
      std::promise<void> loaded;
      other->adapters().load(handle, [&](const Error*) { loaded.set_value(); });
      loaded.get_future().wait();
    }
    stats = settled(other);
    if (round == 0) CHECK(stats.adapters.bytes_used > options.adapter_bytes);
    CHECK(within_budget(other));
    std::vector<SequenceRequest> requests;
    std::vector<uint32_t> ids;
    for (int i = 0; i < 24; ++i) {
      requests.push_back(random_request(mixed, adapters));
      if (i % 4 == 0) requests.back().prompt = prompt_of(200).prompt;
      ids.push_back(other->submit(requests.back()));
    }
    for (size_t i = 0; i < ids.size(); ++i) CHECK_EQ(other.wait(ids[i]), roomy.run(requests[i]));
    CHECK_EQ(settled(other).pages_used, 0u);
  }
}

TEST(engine_loads_each_adapter_about_once_for_those_who_wait) {
  const TempDir folder;
  EngineOptions options = options_for(write_tiny_model(folder));
  constexpr size_t kAdapters = 48, kSequences = 78;
  std::vector<AdapterSpec> specs;
  for (uint32_t i = 0; i < kAdapters; ++i) specs.push_back(write_tiny_adapter(folder, i + 1, 4));
  size_t each;
  {
    Harness roomy(options);
    each = roomy->adapters().state(roomy->adapters().add(specs[0])).bytes;
  }
  for (const size_t room : {size_t{1}, size_t{5}}) {
    for (const size_t slots : {size_t{2}, size_t{256}}) {
      options.adapter_bytes = room * each;
      options.max_sequences = slots;
      Harness harness(options);
      std::vector<uint32_t> adapters, ids;
      for (const AdapterSpec& spec : specs) adapters.push_back(harness->adapters().add(spec));
      std::mt19937 random(11);
      for (size_t i = 0; i < kSequences; ++i) {
        SequenceRequest request = random_request(random, {});
        request.adapter = adapters[i % kAdapters];
        ids.push_back(harness->submit(request));
      }
      for (const uint32_t id : ids) CHECK(harness.wait(id).finish == FinishReason::length);
      const EngineStats stats = settled(harness);
      // Some are loaded for a sequence that then gives way to an urgent one: tenants and classes change the order.
      CHECK(stats.adapters.loads >= kAdapters && stats.adapters.loads <= 2 * kSequences);
      CHECK(stats.adapters.evictions < stats.adapters.loads);
    }
  }
}

TEST(engine_answers_the_same_from_packed_adapters) {
  const TempDir folder;
  EngineOptions options = options_for(write_tiny_model(folder));
  std::vector<AdapterSpec> specs;
  for (uint32_t i = 0; i < 4; ++i) {
    specs.push_back(write_tiny_adapter(folder, i + 1, 8));
    specs.back().tensors_hash = hash_file(specs.back().tensors_path);
  }
  for (const Precision precision : {Precision::int8, Precision::float32}) {
    options.precision = precision;
    options.packed_dir = "";
    options.adapter_bytes = 64 << 20;
    Harness plain(options);
    std::vector<uint32_t> adapters;
    for (const AdapterSpec& spec : specs) adapters.push_back(plain->adapters().add(spec));
    std::mt19937 random(17);
    std::vector<SequenceRequest> requests;
    std::vector<Outcome> expected;
    for (int i = 0; i < 24; ++i) {
      requests.push_back(random_request(random, adapters));
      expected.push_back(plain.run(requests.back()));
    }
    options.packed_dir = folder.path("packed");
    options.adapter_bytes = plain->adapters().state(adapters[0]).bytes;  // one fits
    for (const bool second : {false, true}) {
      Harness packed(options);
      for (const AdapterSpec& spec : specs) packed->adapters().add(spec);
      for (size_t i = 0; i < requests.size(); ++i) CHECK_EQ(packed.run(requests[i]), expected[i]);
      while (packed->stats().adapters.packed.saves < (second ? 0u : 4u)) std::this_thread::yield();
      const AdapterTotals totals = packed->stats().adapters;
      CHECK(totals.packed.loads > 0);
      CHECK_EQ(totals.packed.loads + totals.packed.saves, totals.loads);
      CHECK_EQ(totals.packed.saves, second ? 0u : 4u);
    }
  }
  // What goes wrong with the packed forms is told, and nothing fails.
  options.packed_dir = specs[0].tensors_path + "/packed";
  Harness full(options);
  SequenceRequest request;
  request.prompt = {1, 2, 3};
  request.adapter = full->adapters().add(specs[0]);
  CHECK(full.run(request).finish == FinishReason::length);
  CHECK(full.warnings()[0].find("cannot write the packed adapter") == 0);
}

TEST(engine_fails_sequences_for_whose_adapter_the_pins_leave_no_room) {
  const TempDir folder;
  EngineOptions options = options_for(write_tiny_model(folder));
  const AdapterSpec pinned = write_tiny_adapter(folder, 1, 8), other = write_tiny_adapter(folder, 2, 8);
  {
    Harness roomy(options);
    options.adapter_bytes = roomy->adapters().state(roomy->adapters().add(pinned)).bytes;
  }
  Harness harness(options);
  SequenceRequest request;
  request.prompt = {1, 2, 3};
  const uint32_t kept = harness->adapters().add(pinned);
  harness->adapters().pin(kept);
  request.adapter = harness->adapters().add(other);
  const uint32_t id = harness->submit(request);
  CHECK(harness.wait(id).finish == FinishReason::error);
  CHECK(harness.error(id).find("more than the pinned adapters leave") != std::string::npos);
  request.adapter = kept;
  CHECK(harness.run(request).finish == FinishReason::length);
  harness->adapters().unpin(kept);
  request.adapter = 2;
  CHECK(harness.run(request).finish == FinishReason::length);
}

TEST(engine_reports_an_adapter_that_fails_to_load) {
  const TempDir folder;
  Harness harness(options_for(write_tiny_model(folder)));
  AdapterSpec spec = write_tiny_adapter(folder, 1, 4);
  SequenceRequest request;
  request.prompt = {1, 2, 3};
  request.adapter = harness->adapters().add(spec);
  std::filesystem::remove(spec.tensors_path);
  const uint32_t id = harness->submit(request);
  CHECK(harness.wait(id).finish == FinishReason::error);
  CHECK(harness.error(id).find("tiny-1") != std::string::npos);
  // The file is back: the next request tries again.
  write_tiny_adapter(folder, 1, 4);
  CHECK(harness.run(request).finish == FinishReason::length);
}

TEST(engine_refuses_an_adapter_that_changed_after_it_was_registered) {
  const TempDir folder;
  Harness harness(options_for(write_tiny_model(folder)));
  AdapterSpec spec = write_tiny_adapter(folder, 1, 4);
  spec.tensors_hash = hash_file(spec.tensors_path);
  SequenceRequest request;
  request.prompt = {1, 2, 3};
  request.adapter = harness->adapters().add(spec);
  std::filesystem::rename(write_tiny_adapter(folder, 2, 4).tensors_path, spec.tensors_path);
  const uint32_t id = harness->submit(request);
  CHECK(harness.wait(id).finish == FinishReason::error);
  CHECK(harness.error(id).find("changed on disk") != std::string::npos);
  write_tiny_adapter(folder, 1, 4);
  CHECK(harness.run(request).finish == FinishReason::length);
}

TEST(engine_lets_running_sequences_finish_on_a_removed_adapter) {
  const TempDir folder;
  Harness harness(options_for(write_tiny_model(folder)));
  const uint32_t adapter = harness->adapters().add(write_tiny_adapter(folder, 1, 4));
  SequenceRequest request;
  request.prompt = {1, 2, 3};
  request.max_tokens = 100;
  request.adapter = adapter;
  const uint32_t id = harness->submit(request);
  CHECK(harness->adapters().remove(adapter));
  CHECK_EQ(harness.wait(id).tokens.size(), 100u);
  CHECK_THROWS("not loaded", harness->submit(request));
  settled(harness);
  CHECK_EQ(harness->stats().adapters.registered, 0u);
}

TEST(engine_refuses_bad_requests) {
  const TempDir folder;
  const std::string model = write_tiny_model(folder);
  Harness harness(options_for(model));
  SequenceRequest request;
  CHECK_THROWS("empty", harness->submit(request));
  request.prompt = {1, 128};
  CHECK_THROWS("128, outside the vocabulary", harness->submit(request));
  request.prompt = {-1};
  CHECK_THROWS("token id -1", harness->submit(request));
  request.prompt.assign(256, 1);
  CHECK_THROWS("256 tokens", harness->submit(request));
  request.prompt = {1};
  request.max_tokens = 0;
  CHECK_THROWS("max_tokens", harness->submit(request));
  request.max_tokens = 1;
  request.sampling.temperature = std::nan("");
  CHECK_THROWS("temperature", harness->submit(request));
  request.sampling.temperature = 1;
  request.sampling.logit_bias = {{500, 1.f}};
  CHECK_THROWS("logit_bias", harness->submit(request));
  request.sampling.logit_bias.clear();
  request.adapter = 77;
  CHECK_THROWS("not loaded", harness->submit(request));
  EngineOptions options = options_for(model);
  options.kv_bytes = 10;
  CHECK_THROWS("COLOPHON_KV_BYTES", Harness(options));
}

TEST(engine_stops_where_it_is_told) {
  const TempDir folder;
  Harness harness(options_for(write_tiny_model(folder)));
  SequenceRequest request;
  request.prompt = {5, 6, 7};
  request.sampling.temperature = 0;
  request.max_tokens = 20;
  const Outcome free = harness.run(request);
  CHECK(free.finish == FinishReason::length);
  request.stop_token_ids = {free.tokens[0]};
  const Outcome stopped = harness.run(request);
  CHECK_EQ(stopped.tokens.size(), 1u);
  CHECK(stopped.finish == FinishReason::stop);
  request.min_tokens = 3;  // the stop token may not be drawn before
  CHECK(harness.run(request).tokens[0] != free.tokens[0]);
}

TEST(engine_gives_prompt_logprobs_whatever_the_chunks) {
  const TempDir folder;
  const std::string model = write_tiny_model(folder);
  std::vector<Outcome> outcomes;
  for (const size_t step_tokens : {5, 64}) {
    EngineOptions options = options_for(model);
    options.step_tokens = step_tokens;
    Harness harness(options);
    SequenceRequest request;
    for (int32_t i = 0; i < 40; ++i) request.prompt.push_back(i * 3 % 128);
    request.sampling.temperature = 0;
    request.prompt_logprobs = 2;
    request.logprobs = 1;
    outcomes.push_back(harness.run(request));
  }
  CHECK_EQ(outcomes[0].tokens.size(), 40u);  // 39 of the prompt and one generated
  CHECK_EQ(outcomes[0].tokens[0], 3);
  CHECK_EQ(outcomes[0], outcomes[1]);
}

// Many callers at once: for ThreadSanitizer.
TEST(engine_serves_many_threads) {
  const TempDir folder;
  EngineOptions options = options_for(write_tiny_model(folder));
  Harness harness(options);
  std::vector<AdapterSpec> specs;
  for (uint32_t i = 0; i < 4; ++i) specs.push_back(write_tiny_adapter(folder, i + 1, 2));
  std::vector<std::thread> callers;
  for (uint32_t caller = 0; caller < 4; ++caller) {
    callers.emplace_back([&, caller] {
      std::mt19937 random(caller);
      for (int i = 0; i < 6; ++i) {
        const uint32_t adapter = harness->adapters().add(specs[caller]);
        SequenceRequest request = random_request(random, {adapter});
        const uint32_t id = harness->submit(request);
        harness->stats();
        if (random() % 3 == 0) harness->cancel(id);
        harness->adapters().remove(adapter);
        harness.wait(id);
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  const EngineStats stats = settled(harness);
  CHECK_EQ(stats.pages_used, 0u);
  CHECK_EQ(stats.adapters.registered, 0u);
}
