#pragma once

#include <cstdint>
#include <span>
#include <unordered_map>
#include <utility>
#include <vector>

#include "ops/context.h"

namespace colophon {

struct SamplingOptions {
  double temperature = 1;  ///< 0: greedy
  double top_p = 1;
  uint32_t top_k = 0;      ///< 0: all
  double min_p = 0;
  double repetition_penalty = 1, presence_penalty = 0, frequency_penalty = 0;
  std::vector<std::pair<int32_t, float>> logit_bias;
  uint64_t seed = 0;
};

/// Tokens seen so far, as the penalties need them; kept up to date by the sequence, only where a penalty is set.
struct TokenHistory {
  std::unordered_map<int32_t, uint32_t> prompt, generated;  ///< token -> occurrences
};

struct TokenLogprobs {
  float logprob = 0;
  int32_t rank = 0;  ///< 1: the most likely
  std::vector<std::pair<int32_t, float>> top;
};

/// log softmax of `token`, its rank, and the `top` likeliest tokens (ties: lower id first), of unchanged logits.
TokenLogprobs token_logprobs(OpContext& context, const float* logits, size_t vocabulary, int32_t token, size_t top);

/// Scratch of one worker.
struct SamplerScratch {
  std::vector<float> weights;
  std::vector<int32_t> candidates;
  std::vector<float> logits;
};

/// Chooses the next token. In order: bias, penalties, forbidden tokens, mask, temperature, min_p, top_k, top_p, draw.
/// `mask`: the tokens that may be drawn, at least one; empty: all. `logits` [vocabulary] is changed. The draw is
/// uniform(seed, position). Runs on the calling thread.
int32_t sample(OpContext& context, const SamplingOptions& options, const TokenHistory& history,
               std::span<const int32_t> forbidden, std::span<const uint32_t> mask, uint64_t position, float* logits,
               size_t vocabulary, SamplerScratch& scratch);

}  // namespace colophon
