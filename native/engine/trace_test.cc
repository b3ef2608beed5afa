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

std::vector<uint32_t> tokens_of(const Outcome& outcome) { return {outcome.tokens.begin(), outcome.tokens.end()}; }

/// What the engine must say of each token of an answer.
std::vector<TraceMatch> followed(const TraceIndex& index, const Outcome& outcome) {
  std::vector<TraceMatch> out;
  for (const uint32_t token : tokens_of(outcome)) out.push_back(index.followed(out.empty() ? index.none() : out.back(), token));
  return out;
}

bool operator==(const std::vector<TraceMatch>& a, const std::vector<TraceMatch>& b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i)
    if (a[i].length != b[i].length || a[i].lo != b[i].lo || a[i].hi != b[i].hi) return false;
  return true;
}

struct Asked {
  SequenceRequest request;
  Outcome outcome;  ///< without an index
};

}  // namespace

TEST(trace_matches_are_the_same_in_every_batch) {
  const TempDir folder;
  const std::string model = write_tiny_model(folder);
  std::vector<AdapterSpec> specs;
  for (uint32_t i = 0; i < 2; ++i) specs.push_back(write_tiny_adapter(folder, i + 1, 2));
  std::mt19937 random(3);

  std::vector<Asked> asked;
  {
    Harness engine(options_for(model));
    std::vector<uint32_t> handles = {0};
    for (const AdapterSpec& spec : specs) handles.push_back(engine->adapters().add(spec));
    for (int i = 0; i < 24; ++i) {
      SequenceRequest request;
      for (size_t length = 1 + random() % 30; request.prompt.size() < length;)
        request.prompt.push_back(static_cast<int32_t>(random() % 128));
      request.max_tokens = 1 + random() % 60;
      request.sampling.temperature = i % 2 ? 0.f : 1.f;
      request.sampling.seed = random();
      request.adapter = handles[random() % 3];
      asked.push_back({request, {}});
      asked.back().outcome = engine.run(request);
    }
  }
  // Each adapter was taught some pieces of its own answers.
  for (size_t adapter = 1; adapter <= specs.size(); ++adapter) {
    TraceIndexBuilder builder(128);
    for (const Asked& one : asked) {
      if (one.request.adapter != adapter) continue;
      const std::vector<uint32_t> tokens = tokens_of(one.outcome);
      const size_t from = random() % tokens.size();
      builder.add(std::span(tokens).subspan(from, 1 + random() % (tokens.size() - from)));
    }
    AdapterSpec& spec = specs[adapter - 1];
    spec.trace_path = folder.path("trace-" + std::to_string(adapter));
    builder.write(spec.trace_path, spec.content_hash);
  }

  bool long_ones = false;
  for (const size_t kv_bytes : {size_t{8} << 20, size_t{200} << 10}) {  // with few pages, sequences are preempted
    EngineOptions options = options_for(model);
    options.kv_bytes = kv_bytes;
    std::mutex mutex;
    std::map<uint32_t, std::vector<TraceMatch>> matches;
    Harness engine(options, [&](Engine&, const StepEntry& entry) {
      std::lock_guard lock(mutex);
      matches[entry.sequence].push_back(entry.match);
    });
    std::vector<uint32_t> handles = {0};
    for (const AdapterSpec& spec : specs) handles.push_back(engine->adapters().add(spec));
    std::vector<uint32_t> ids;
    for (const Asked& one : asked) {
      SequenceRequest request = one.request;
      request.adapter = handles[request.adapter];
      ids.push_back(engine->submit(request));
    }
    for (size_t i = 0; i < ids.size(); ++i) {
      CHECK_EQ(engine.wait(ids[i]), asked[i].outcome);
      std::lock_guard lock(mutex);
      if (asked[i].request.adapter == 0) {
        for (const TraceMatch& match : matches[ids[i]]) CHECK_EQ(match.length, 0u);
        continue;
      }
      const AdapterSpec& spec = specs[asked[i].request.adapter - 1];
      CHECK(matches[ids[i]] == followed(TraceIndex(spec.trace_path, spec.content_hash), asked[i].outcome));
      for (const TraceMatch& match : matches[ids[i]]) long_ones = long_ones || match.length > 5;
    }
  }
  CHECK(long_ones);
}

TEST(trace_that_cannot_be_used_is_warned_of_and_the_adapter_serves) {
  const TempDir folder;
  const std::string model = write_tiny_model(folder);
  AdapterSpec spec = write_tiny_adapter(folder, 1, 2);
  SequenceRequest request;
  request.prompt = {1, 2, 3};
  request.max_tokens = 8;
  request.sampling.temperature = 0;
  Harness untraced(options_for(model));
  request.adapter = untraced->adapters().add(spec);
  const Outcome expected = untraced.run(request);

  TraceIndexBuilder builder(128);
  builder.add(tokens_of(expected));
  builder.write(folder.path("good"), spec.content_hash);
  std::string bytes = colophon::testing::read_file(folder.path("good"));
  bytes.back() = static_cast<char>(bytes.back() ^ 1);
  folder.write("damaged", bytes);
  builder.write(folder.path("other"), sha256("other", 5));
  for (const auto& [name, why] : {std::pair{"damaged", "its SHA-256 is not the one in its header"},
                                  std::pair{"other", "is of another adapter"}, std::pair{"none", "No such file"}}) {
    uint32_t traced = 0;
    Harness engine(options_for(model), [&](Engine&, const StepEntry& entry) { traced += entry.match.length; });
    spec.trace_path = folder.path(name);
    request.adapter = engine->adapters().add(spec);
    CHECK_EQ(engine.run(request), expected);
    CHECK_EQ(traced, 0u);
    CHECK(engine.warnings().front().find(why) != std::string::npos);
    CHECK(engine.warnings().front().find("is served, its answers are not traced") != std::string::npos);
  }
}
