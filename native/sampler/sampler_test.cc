#include "sampler/sampler.h"

#include <cmath>
#include <map>

#include "sampler/random.h"
#include "sampler/token_mask.h"
#include "testing/test.h"

using namespace colophon;

namespace {

struct Fixture {
  ThreadPool pool{1};
  OpContext context{pool, Isa::reference};
  SamplerScratch scratch;
  int32_t draw(const SamplingOptions& options, std::vector<float> logits, uint64_t position = 0,
               const TokenHistory& history = {}, std::vector<int32_t> forbidden = {}, MaskWords mask = {}) {
    return sample(context, options, history, forbidden, mask, position, logits.data(), logits.size(), scratch);
  }
};

std::vector<float> log_of(const std::vector<double>& probabilities) {
  std::vector<float> out;
  for (const double p : probabilities) out.push_back(static_cast<float>(std::log(p)));
  return out;
}

}  // namespace

// Known answers of Philox4x32-10 (the zero and the all-ones vector of the authors' own Random123 suite).
TEST(philox_matches_known_answers) {
  const uint64_t zero = (uint64_t{0x6627e8d5} << 32 | 0xe169c58d) >> 11;
  CHECK_EQ(uniform(0, 0), static_cast<double>(zero) * 0x1p-53);
  CHECK(uniform(1, 0) != uniform(0, 0));
  CHECK(uniform(0, 1) != uniform(0, 0));
}

TEST(greedy_takes_the_lowest_id_of_equal_logits) {
  Fixture f;
  SamplingOptions options;
  options.temperature = 0;
  CHECK_EQ(f.draw(options, {1, 3, 3, 2}), 1);
}

TEST(draws_follow_the_distribution) {
  Fixture f;
  SamplingOptions options;
  options.seed = 42;
  const std::vector<float> logits = log_of({0.5, 0.3, 0.15, 0.05});
  std::map<int32_t, int> counts;
  constexpr int kDraws = 20000;
  for (int i = 0; i < kDraws; ++i) ++counts[f.draw(options, logits, static_cast<uint64_t>(i))];
  // Five standard deviations of a binomial count.
  const double expected[] = {0.5, 0.3, 0.15, 0.05};
  for (int32_t t = 0; t < 4; ++t) {
    const double deviation = std::sqrt(kDraws * expected[t] * (1 - expected[t]));
    CHECK(std::abs(counts[t] - kDraws * expected[t]) < 5 * deviation);
  }
}

TEST(truncation_keeps_exactly_the_likeliest) {
  Fixture f;
  const std::vector<float> logits = log_of({0.05, 0.5, 0.15, 0.3});
  const auto seen = [&](SamplingOptions options) {
    std::map<int32_t, int> counts;
    for (int i = 0; i < 2000; ++i) ++counts[f.draw(options, logits, static_cast<uint64_t>(i))];
    std::string out;
    for (const auto& [token, count] : counts) out += std::to_string(token);
    return out;
  };
  SamplingOptions options;
  options.top_k = 2;
  CHECK_EQ(seen(options), "13");
  options.top_k = 0;
  options.top_p = 0.79;  // 0.5 + 0.3 covers it
  CHECK_EQ(seen(options), "13");
  options.top_p = 0.81;
  CHECK_EQ(seen(options), "123");
  options.top_p = 0;  // at least one token remains
  CHECK_EQ(seen(options), "1");
  options.top_p = 1;
  options.min_p = 0.25;  // of the likeliest: 0.125
  CHECK_EQ(seen(options), "123");
}

TEST(penalties_and_bias_change_the_logits) {
  Fixture f;
  SamplingOptions options;
  options.temperature = 0;
  TokenHistory history;
  history.prompt[0] = 1;
  history.generated[1] = 2;
  options.repetition_penalty = 2;
  CHECK_EQ(f.draw(options, {4, 3, 1.9f}, 0, history), 0);
  options.repetition_penalty = 4;
  CHECK_EQ(f.draw(options, {4, 3, 1.9f}, 0, history), 2);
  CHECK_EQ(f.draw(options, {-1, -1, -3.9f}, 0, history), 2);  // negative logits move down too
  options.repetition_penalty = 1;
  options.presence_penalty = 1;  // only what was generated
  CHECK_EQ(f.draw(options, {3.2f, 4, 2}, 0, history), 0);
  options.presence_penalty = 0;
  options.frequency_penalty = 0.5;
  CHECK_EQ(f.draw(options, {3.2f, 4, 2}, 0, history), 0);
  options.frequency_penalty = 0;
  options.logit_bias = {{2, 10.f}};
  CHECK_EQ(f.draw(options, {3, 4, 2}), 2);
}

TEST(forbidden_tokens_are_never_drawn) {
  Fixture f;
  SamplingOptions options;
  for (uint64_t i = 0; i < 200; ++i) CHECK(f.draw(options, {5, 1, 1}, i, {}, {0}) != 0);
}

TEST(token_logprobs_are_the_models_own) {
  Fixture f;
  const std::vector<float> logits = log_of({0.1, 0.4, 0.4, 0.1});
  const TokenLogprobs out = token_logprobs(f.context, logits.data(), 4, 3, 3);
  CHECK(std::abs(out.logprob - std::log(0.1)) < 1e-6);
  CHECK_EQ(out.rank, 3);
  CHECK_EQ(out.top.size(), 3u);
  CHECK_EQ(out.top[0].first, 1);
  CHECK_EQ(out.top[1].first, 2);
  CHECK_EQ(out.top[2].first, 0);
}
