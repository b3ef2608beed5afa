#include <deque>
#include <random>
#include <thread>

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

constexpr size_t kVocabulary = 128;

MaskWords only(std::initializer_list<int32_t> tokens) {
  MaskWords mask(mask_words(kVocabulary), 0);
  for (const int32_t token : tokens) mask[static_cast<size_t>(token) / 32] |= uint32_t{1} << (token % 32);
  return mask;
}

/// About a quarter of the vocabulary; depends on the position and the token before, as a grammar's does.
MaskWords mask_after(size_t position, int32_t token) {
  std::mt19937 random(static_cast<uint32_t>(position * 8191 + static_cast<size_t>(token)));
  MaskWords mask(mask_words(kVocabulary));
  for (uint32_t& word : mask) word = random() & random();
  mask[random() % mask.size()] |= 1;
  return mask;
}

bool allows(const MaskWords& mask, int32_t token) { return mask[static_cast<size_t>(token) / 32] >> (token % 32) & 1; }

/// Gives masks from a thread of its own, some steps late.
class LateMasks {
 public:
  LateMasks() : thread_([this] { run(); }) {}
  ~LateMasks() {
    {
      std::lock_guard lock(mutex_);
      stop_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }
  void ask(Engine& engine, const StepEntry& entry) {
    std::lock_guard lock(mutex_);
    asked_.push_back({&engine, entry.sequence, static_cast<size_t>(entry.position), entry.token});
    changed_.notify_all();
  }
  /// Whether everything that was asked for has been given.
  bool idle() {
    std::lock_guard lock(mutex_);
    return asked_.empty() && !giving_;
  }

 private:
  struct Asked {
    Engine* engine;
    uint32_t sequence;
    size_t position;
    int32_t token;
  };
  void run() {
    for (;;) {
      Asked next;
      {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [&] { return stop_ || !asked_.empty(); });
        if (stop_) return;
        next = asked_.front();
        asked_.pop_front();
        giving_ = true;
      }
      std::this_thread::sleep_for(std::chrono::microseconds(next.token * 10));
      next.engine->set_mask(next.sequence, next.position + 1, mask_after(next.position + 1, next.token));
      std::lock_guard lock(mutex_);
      giving_ = false;
    }
  }
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Asked> asked_;
  bool stop_ = false, giving_ = false;
  std::thread thread_;
};

void mask_at_once(Engine& engine, const StepEntry& entry) {
  const size_t position = static_cast<size_t>(entry.position) + 1;
  engine.set_mask(entry.sequence, position, mask_after(position, entry.token));
}

SequenceRequest random_request(std::mt19937& random, uint32_t adapter, bool constrained) {
  SequenceRequest request;
  // Prompts that repeat themselves, so that there would be something to guess.
  const size_t length = 1 + random() % 60, period = 2 + random() % 9;
  for (size_t i = 0; i < length; ++i) request.prompt.push_back(static_cast<int32_t>(i % period * 5));
  request.adapter = random() % 2 ? adapter : 0;
  request.max_tokens = 1 + random() % 30;
  request.sampling.temperature = random() % 3 ? 0.9 : 0;
  request.sampling.seed = random();
  if (random() % 3 == 0) request.sampling.top_k = 5;
  if (random() % 3 == 0) request.sampling.top_p = 0.7;
  if (random() % 3 == 0) request.sampling.min_p = 0.1;
  if (random() % 3 == 0) request.sampling.repetition_penalty = 1.3;
  if (random() % 3 == 0) request.stop_token_ids = {static_cast<int32_t>(random() % kVocabulary)};
  request.logprobs = 0;
  if (constrained) request.mask = mask_after(length, request.prompt.back());
  return request;
}

}  // namespace

TEST(constrained_sequences_have_their_solo_bits_whenever_masks_come) {
  const TempDir folder;
  const std::string model = write_tiny_model(folder);
  const AdapterSpec spec = write_tiny_adapter(folder, 1, 4);
  EngineOptions solo = options_for(model);
  solo.threads = 1;
  solo.prefix_cache = false;
  solo.speculate = false;
  Harness alone(solo, mask_at_once);
  const uint32_t adapter = alone->adapters().add(spec);
  std::mt19937 random(5);
  std::vector<SequenceRequest> requests;
  std::vector<Outcome> expected;
  for (int i = 0; i < 24; ++i) {
    requests.push_back(random_request(random, adapter, i % 2 == 0));
    expected.push_back(alone.run(requests.back()));
    if (requests.back().mask.empty()) continue;
    int32_t before = requests.back().prompt.back();
    size_t position = requests.back().prompt.size();
    for (const int32_t token : expected.back().tokens) {
      CHECK(allows(mask_after(position++, before), token));
      before = token;
    }
  }
  LateMasks late;
  struct Variant {
    size_t step_tokens, kv_bytes;
  };
  for (const Variant& v : {Variant{512, 8 << 20}, Variant{9, 8 << 20}, Variant{64, 100 << 10}}) {
    for (const bool at_once : {true, false}) {
      EngineOptions options = options_for(model);
      options.step_tokens = v.step_tokens;
      options.kv_bytes = v.kv_bytes;
      Harness together(options, [&](Engine& engine, const StepEntry& entry) {
        if (at_once) mask_at_once(engine, entry);
        else late.ask(engine, entry);
      });
      together->adapters().add(spec);
      const auto run = [&](size_t few) {
        std::vector<uint32_t> ids;
        for (size_t i = 0; i < few; ++i) ids.push_back(together->submit(requests[i]));
        for (size_t i = 0; i < few; ++i) CHECK_EQ(together.wait(ids[i]), expected[i]);
      };
      run(requests.size());
      run(2);
      // Where pages are few, how the requests come in decides whether one is preempted.
      for (int more = 0; v.kv_bytes < 1 << 20 && settled(together).preemptions == 0 && more < 50; ++more) run(requests.size());
      const EngineStats stats = settled(together);
      CHECK_EQ(stats.pages_used, 0u);
      if (v.kv_bytes < 1 << 20) CHECK(stats.preemptions > 0);
      // A row that came before its mask is not counted twice.
      size_t prompts = 0;
      for (size_t i = 0; i < requests.size(); ++i) prompts += requests[i].prompt.size() * (i < 2 ? 2 : 1);
      if (v.kv_bytes > 1 << 20) CHECK_EQ(stats.prompt_tokens + stats.cached_tokens, prompts);
      // The late masks' thread may still hold asks for this engine's ended sequences.
      while (!late.idle()) std::this_thread::yield();
    }
  }
}

TEST(a_sequence_without_its_mask_holds_nobody_up) {
  const TempDir folder;
  Harness harness(options_for(write_tiny_model(folder)));
  SequenceRequest constrained;
  constrained.prompt = {1, 2, 3};
  constrained.max_tokens = 3;
  constrained.mask = only({7});
  const uint32_t id = harness->submit(constrained);
  harness.wait_tokens(id, 1);
  SequenceRequest free;
  free.prompt = {4, 5, 6};
  free.max_tokens = 40;
  CHECK_EQ(harness.run(free).tokens.size(), 40u);
  const uint64_t steps = harness->stats().steps;
  CHECK(steps < 60);  // the row without a mask is not tried over and over
  harness->set_mask(id, 4, only({9}));
  harness.wait_tokens(id, 2);
  harness->set_mask(id, 9, only({11}));  // of no position that is drawn
  harness->set_mask(id + 100, 5, only({11}));
  harness->set_mask(id, 5, only({8}));
  CHECK(harness.wait(id).tokens == std::vector<int32_t>({7, 9, 8}));

  // One whose mask never comes can be cancelled.
  const uint32_t forgotten = harness->submit(constrained);
  harness.wait_tokens(forgotten, 1);
  harness->cancel(forgotten);
  CHECK(harness.wait(forgotten).finish == FinishReason::cancelled);
  CHECK_EQ(settled(harness).pages_used, 0u);
}

TEST(nothing_is_guessed_under_masks) {
  const TempDir folder;
  constexpr int32_t kCycle = 5;
  Harness harness(options_for(write_tiny_model(folder)), [](Engine& engine, const StepEntry& entry) {
    engine.set_mask(entry.sequence, static_cast<size_t>(entry.position) + 1, only({(entry.token + 1) % kCycle}));
  });
  // What follows is in the prompt already: a guess would be right, and the row after it drawn under the mask before.
  SequenceRequest request;
  for (int32_t i = 0; i < 40; ++i) request.prompt.push_back(i % kCycle);
  request.max_tokens = 20;
  request.mask = only({0});
  const Outcome outcome = harness.run(request);
  for (size_t i = 0; i < outcome.tokens.size(); ++i) CHECK_EQ(outcome.tokens[i], static_cast<int32_t>(i) % kCycle);
  CHECK_EQ(outcome.tokens.size(), 20u);
  CHECK_EQ(settled(harness).drafted_tokens, 0u);
}

TEST(masks_meet_bias_stop_ids_and_log_probabilities) {
  const TempDir folder;
  const MaskWords everything(mask_words(kVocabulary), ~uint32_t{0});
  Harness harness(options_for(write_tiny_model(folder)), [&](Engine& engine, const StepEntry& entry) {
    engine.set_mask(entry.sequence, static_cast<size_t>(entry.position) + 1, everything);
  });
  SequenceRequest request;
  request.prompt = {1, 2, 3, 4};
  request.max_tokens = 12;
  request.logprobs = 3;
  request.sampling.seed = 3;
  const Outcome free = harness.run(request);
  request.mask = everything;
  CHECK_EQ(harness.run(request), free);

  // Log-probabilities are the model's own: those of a token that the mask forces are what a bias that forces it reports.
  request.mask = only({50});
  request.max_tokens = 1;
  const Outcome forced = harness.run(request);
  SequenceRequest biased = request;
  biased.mask.clear();
  biased.sampling.logit_bias = {{50, 1e4f}};
  CHECK_EQ(forced, harness.run(biased));
  // The mask stands above a bias.
  request.sampling.logit_bias = {{51, 1e4f}};
  CHECK_EQ(harness.run(request), forced);
  request.sampling.logit_bias.clear();

  // min_tokens forbids a stop id where another token is left, and gives way where none is.
  request.min_tokens = 5;
  request.stop_token_ids = {50};
  CHECK(harness.run(request).finish == FinishReason::stop);
  request.mask = only({50, 60});
  CHECK_EQ(harness.run(request).tokens[0], 60);
}

TEST(a_mask_that_allows_nothing_is_an_error_of_its_sequence) {
  const TempDir folder;
  Harness harness(options_for(write_tiny_model(folder)), [](Engine& engine, const StepEntry& entry) {
    engine.set_mask(entry.sequence, static_cast<size_t>(entry.position) + 1, only({}));
  });
  SequenceRequest request;
  request.prompt = {1, 2, 3};
  request.max_tokens = 5;
  request.mask = only({7});
  const uint32_t id = harness->submit(request);
  CHECK(harness.wait(id).finish == FinishReason::error);
  CHECK_EQ(harness.error(id), "the mask of position 4 allows no token");
  CHECK_EQ(settled(harness).pages_used, 0u);
  CHECK_THROWS("the mask has 1 words, but a vocabulary of 128 tokens needs 4", harness->set_mask(id, 4, MaskWords(1)));
  request.mask.push_back(1);
  CHECK_THROWS("the mask has 5 words", harness->submit(request));
}
