#include "sampler/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "ops/elementwise.h"
#include "ops/exp_weights.h"
#include "sampler/random.h"
#include "sampler/token_mask.h"

namespace colophon {
namespace {

void apply_penalties(const SamplingOptions& options, const TokenHistory& history, float* logits) {
  if (options.repetition_penalty != 1) {
    // Keskar et al. 2019 (CTRL): towards less likely whatever the logit's sign; once for each token seen anywhere.
    const float penalty = static_cast<float>(options.repetition_penalty);
    const auto penalise = [&](int32_t token) {
      logits[token] = logits[token] > 0 ? logits[token] / penalty : logits[token] * penalty;
    };
    for (const auto& [token, count] : history.prompt) penalise(token);
    for (const auto& [token, count] : history.generated)
      if (!history.prompt.count(token)) penalise(token);
  }
  if (options.presence_penalty != 0 || options.frequency_penalty != 0) {
    for (const auto& [token, count] : history.generated) {
      logits[token] -= static_cast<float>(options.presence_penalty);
      logits[token] -= static_cast<float>(options.frequency_penalty) * static_cast<float>(count);
    }
  }
}

}  // namespace

TokenLogprobs token_logprobs(OpContext& context, const float* logits, size_t vocabulary, int32_t token, size_t top) {
  TokenLogprobs out;
  const double normaliser = log_sum_exp(context, logits, vocabulary);
  const float own = logits[token];
  out.logprob = static_cast<float>(static_cast<double>(own) - normaliser);
  int32_t higher = 0;
  for (size_t i = 0; i < vocabulary; ++i) higher += logits[i] > own;
  out.rank = higher + 1;
  if (top == 0) return out;

  // The best so far, best first; most tokens fail the comparison with the last.
  std::vector<std::pair<float, int32_t>> best;
  best.reserve(top + 1);
  for (size_t i = 0; i < vocabulary; ++i) {
    const float value = logits[i];
    if (best.size() == top && !(value > best.back().first)) continue;
    const auto position = std::upper_bound(best.begin(), best.end(), value,
                                           [](float v, const std::pair<float, int32_t>& b) { return v > b.first; });
    best.insert(position, {value, static_cast<int32_t>(i)});
    if (best.size() > top) best.pop_back();
  }
  for (const auto& [value, id] : best)
    out.top.emplace_back(id, static_cast<float>(static_cast<double>(value) - normaliser));
  return out;
}

int32_t sample(OpContext& context, const SamplingOptions& options, const TokenHistory& history,
               std::span<const int32_t> forbidden, std::span<const uint32_t> mask, uint64_t position, float* logits,
               size_t vocabulary, SamplerScratch& scratch) {
  for (const auto& [token, bias] : options.logit_bias) logits[token] += bias;
  apply_penalties(options, history, logits);
  for (const int32_t token : forbidden) logits[token] = -std::numeric_limits<float>::infinity();
  apply_mask(mask, logits, vocabulary);

  const size_t best = argmax(context, logits, vocabulary);
  // Below this a float's exponentials are all zero but the best one's.
  if (options.temperature < 1e-5 || !std::isfinite(logits[best])) return static_cast<int32_t>(best);

  std::vector<float>& weights = scratch.weights;
  weights.resize(vocabulary);
  exp_weights(context, logits, vocabulary, logits[best], static_cast<float>(1.0 / options.temperature), weights.data());

  const double draw = uniform(options.seed, position);
  const bool truncated = options.top_k > 0 || options.top_p < 1 || options.min_p > 0;
  if (!truncated) {
    double total = 0;
    for (size_t i = 0; i < vocabulary; ++i) total += weights[i];
    double left = draw * total;
    for (size_t i = 0; i < vocabulary; ++i) {
      left -= weights[i];
      if (left < 0) return static_cast<int32_t>(i);
    }
    return static_cast<int32_t>(best);
  }

  // The likeliest token weighs 1, so min_p is a threshold on the weights. Order: weight falling, then id rising.
  std::vector<int32_t>& candidates = scratch.candidates;
  candidates.clear();
  const float least = static_cast<float>(options.min_p);
  for (size_t i = 0; i < vocabulary; ++i)
    if (weights[i] >= least && weights[i] > 0) candidates.push_back(static_cast<int32_t>(i));
  const auto before = [&](int32_t a, int32_t b) {
    return weights[a] != weights[b] ? weights[a] > weights[b] : a < b;
  };
  if (options.top_k > 0 && candidates.size() > options.top_k) {
    std::nth_element(candidates.begin(), candidates.begin() + options.top_k, candidates.end(), before);
    candidates.resize(options.top_k);
    std::sort(candidates.begin(), candidates.end());  // so that the sum below has one order
  }
  double total = 0;
  for (const int32_t i : candidates) total += weights[i];
  if (options.top_p < 1) {
    // Sorted piece by piece, since the nucleus is usually far smaller than the vocabulary.
    const double wanted = options.top_p * total;
    double nucleus = 0;
    size_t kept = 0;
    for (size_t sorted = 0; kept < candidates.size();) {
      const size_t piece = std::min(candidates.size(), sorted + std::max<size_t>(64, sorted));
      std::partial_sort(candidates.begin() + sorted, candidates.begin() + piece, candidates.end(), before);
      sorted = piece;
      while (kept < sorted && (kept == 0 || nucleus < wanted)) nucleus += weights[candidates[kept++]];
      if (nucleus >= wanted) break;
    }
    candidates.resize(kept);
    total = nucleus;
  }
  double left = draw * total;
  for (const int32_t i : candidates) {
    left -= weights[i];
    if (left < 0) return i;
  }
  return candidates.empty() ? static_cast<int32_t>(best) : candidates.back();
}

}  // namespace colophon
