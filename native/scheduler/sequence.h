#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <vector>

#include "engine/engine.h"
#include "scheduler/fairness.h"
#include "scheduler/prompt_lookup.h"

namespace colophon {

/// One request on its way through the engine. Owned by the loop thread.
struct Sequence {
  uint32_t id = 0;
  SequenceRequest request;
  std::vector<int32_t> tokens;  ///< the prompt, then what was generated
  size_t prompt_tokens = 0;
  size_t computed = 0;          ///< leading tokens whose keys and values lie in pages
  std::vector<uint32_t> pages;  ///< covering `computed` and what the current step adds
  std::vector<Digest> chain;    ///< keys of the full pages of tokens[0 .. computed), as far as known
  size_t published = 0;         ///< leading pages that were offered to the prefix cache
  Digest prefix_root{};
  size_t cached_tokens = 0;     ///< taken from the prefix cache when first scheduled
  std::chrono::steady_clock::time_point submitted;
  float queue_seconds = -1;     ///< until it was first scheduled
  size_t prompt_logprobs_sent = 1;  ///< prompt positions below this one have been reported (the first has none)
  bool adapter_asked = false;       ///< its adapter was asked for on its behalf
  const LoraAdapter* adapter = nullptr;  ///< held while running
  TokenHistory history;
  std::vector<float> pooled;  ///< the sum (or the last) of the prompt's hidden states so far; empty before the first
  size_t pooled_tokens = 0;   ///< leading prompt tokens that are in it
  std::vector<int32_t> draft;  ///< guesses at what follows the first draft_start tokens, verified by the current step
  size_t draft_start = 0;
  PromptLookup lookup;
  TraceMatch match;  ///< the longest end of what was generated that its adapter's trace index has
  MaskWords mask;  ///< of the token at mask_position; empty where the sequence is unconstrained
  size_t mask_position = 0;
  bool mask_missed = false;  ///< the last step computed the token's logits in vain, since its mask had not come

  // What the scheduler decides by.
  uint64_t arrival = 0;                      ///< its number in order of arrival
  Tenant* tenant = nullptr;                  ///< counted there while it is in the scheduler
  const Served* adapter_served = nullptr;    ///< of its adapter, within the tenant
  size_t prompt_charged = 0;                 ///< leading prompt tokens whose cost was counted, or that came from the cache
  bool running = false;                      ///< has a place
  bool rested = false;                       ///< left its row of the last step to another tenant
  size_t generated_before = 0;               ///< tokens generated when it got its place

  size_t generated() const { return tokens.size() - prompt_tokens; }
  /// Tokens that still need a pass; 1 while decoding.
  size_t remaining() const { return tokens.size() - computed; }
  bool constrained() const { return !mask.empty(); }
  /// Whether the token after the last one can be drawn.
  bool has_mask() const { return !constrained() || mask_position == tokens.size(); }
  bool wants_prompt_logprobs() const { return request.prompt_logprobs >= 0; }
  bool pools() const { return request.pool != Pool::none; }
  /// Whether the hidden state at `position` is part of the result. A recomputed one was taken already.
  bool pools_at(size_t position) const {
    return request.pool == Pool::mean ? position >= pooled_tokens : pools() && position + 1 == prompt_tokens;
  }
  /// Whether every prompt token has to be computed, so that none can come from the prefix cache.
  bool needs_all_rows() const { return wants_prompt_logprobs() || request.pool == Pool::mean; }
  /// A token of those that the current step computes.
  int32_t token_at(size_t position) const {
    return position < draft_start || draft.empty() ? tokens[position] : draft[position - draft_start];
  }
  bool is_drafted(size_t position) const { return position >= draft_start && position - draft_start < draft.size(); }
};

}  // namespace colophon
