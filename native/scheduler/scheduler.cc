#include "scheduler/scheduler.h"

#include <algorithm>

#include "cache/prefix_chain.h"
#include "ops/attention.h"

namespace colophon {
namespace {

/// Rows up to which one more costs a step little.
constexpr size_t kFewRows = 8;

size_t pages_for(size_t tokens) { return (tokens + kPageTokens - 1) / kPageTokens; }

}  // namespace

void Scheduler::add(std::unique_ptr<Sequence> sequence) {
  // Asked for at once, so that loading overlaps the wait for a place.
  if (sequence->request.adapter != 0) {
    adapters_.want(sequence->request.adapter, true, false);
    sequence->adapter_asked = true;
  }
  waiting_.push_back(std::move(sequence));
}

std::unique_ptr<Sequence> Scheduler::remove(uint32_t id) {
  const auto is_it = [id](const std::unique_ptr<Sequence>& s) { return s->id == id; };
  std::unique_ptr<Sequence> out;
  if (const auto found = std::find_if(running_.begin(), running_.end(), is_it); found != running_.end()) {
    out = std::move(*found);
    running_.erase(found);
    give_up(*out);
  } else if (const auto queued = std::find_if(waiting_.begin(), waiting_.end(), is_it); queued != waiting_.end()) {
    out = std::move(*queued);
    waiting_.erase(queued);
  }
  return out;
}

/// Releases pages and adapter; the sequence can start again from its tokens.
void Scheduler::give_up(Sequence& sequence) {
  // Last page first, so that the cache keeps the front of a prefix longest.
  for (size_t i = sequence.pages.size(); i > 0; --i) pages_.release(sequence.pages[i - 1]);
  sequence.pages.clear();
  sequence.draft.clear();
  sequence.computed = 0;
  sequence.published = 0;
  if (sequence.adapter) {
    adapters_.release(sequence.request.adapter);
    sequence.adapter = nullptr;
  }
}

void Scheduler::preempt_youngest() {
  std::unique_ptr<Sequence> victim = std::move(running_.back());
  running_.pop_back();
  give_up(*victim);
  waiting_.push_front(std::move(victim));
  ++preemptions_;
}

/// Pages for `rows` more tokens; all of them or none.
bool Scheduler::reserve(Sequence& sequence, size_t rows) {
  const size_t needed = pages_for(sequence.computed + rows);
  if (needed > sequence.pages.size() + pages_.available()) return false;
  while (sequence.pages.size() < needed) sequence.pages.push_back(*pages_.allocate());
  return true;
}

void Scheduler::extend_chain(Sequence& sequence, size_t full_pages) {
  while (sequence.chain.size() < full_pages) {
    const size_t page = sequence.chain.size();
    const Digest& parent = page == 0 ? sequence.prefix_root : sequence.chain.back();
    sequence.chain.push_back(prefix_link(parent, &sequence.tokens[page * kPageTokens], kPageTokens));
  }
}

void Scheduler::publish(Sequence& sequence) {
  if (!limits_.prefix_cache) return;
  // Of a draft that held, the tokens are not the sequence's before they are delivered.
  const size_t full = std::min(sequence.computed, sequence.tokens.size()) / kPageTokens;
  extend_chain(sequence, full);
  for (; sequence.published < full; ++sequence.published)
    pages_.publish(sequence.pages[sequence.published], sequence.chain[sequence.published]);
}

/// Takes the longest cached prefix, short of the last token: it must run, since its logits are wanted.
void Scheduler::match_prefix(Sequence& sequence) {
  if (!limits_.prefix_cache || sequence.wants_prompt_logprobs()) return;
  const size_t most = (sequence.tokens.size() - 1) / kPageTokens;
  extend_chain(sequence, most);
  while (sequence.pages.size() < most) {
    const std::optional<uint32_t> page = pages_.acquire(sequence.chain[sequence.pages.size()]);
    if (!page) break;
    sequence.pages.push_back(*page);
  }
  sequence.computed = sequence.pages.size() * kPageTokens;
  sequence.published = sequence.pages.size();
  if (sequence.generated() == 0) sequence.cached_tokens = sequence.computed;
}

/// Starts a waiting sequence where there is room for all of its tokens (a prefill begun without it would be preempted
/// by the first shortage); moves it to running_.
bool Scheduler::admit(std::unique_ptr<Sequence>& sequence, size_t budget, std::vector<ScheduledRun>& plan) {
  match_prefix(*sequence);
  const size_t rows = std::min(sequence->remaining(), budget);
  const bool fits = pages_for(sequence->tokens.size()) <= sequence->pages.size() + pages_.available();
  if (!fits || !reserve(*sequence, rows)) {
    give_up(*sequence);
    return false;
  }
  if (sequence->request.adapter != 0) {
    sequence->adapter = adapters_.acquire(sequence->request.adapter);
    if (!sequence->adapter) {  // evicted since it was asked for
      give_up(*sequence);
      return false;
    }
  }
  plan.push_back({sequence.get(), rows});
  running_.push_back(std::move(sequence));
  return true;
}

/// Drafts for the decoding sequences, where they leave rows for it and nobody waits for a place.
void Scheduler::draft() {
  size_t rows = waiting_.size();
  for (const auto& sequence : running_) {
    sequence->draft.clear();
    sequence->draft_start = sequence->tokens.size();
    rows += sequence->remaining();
  }
  if (!limits_.speculate || rows == 0 || 2 * rows > kFewRows) return;
  for (const auto& owned : running_) {
    Sequence& sequence = *owned;
    const SequenceRequest& request = sequence.request;
    const SamplingOptions& sampling = request.sampling;
    // Penalties depend on the tokens before, which a draft only supposes.
    if (sequence.remaining() != 1 || sampling.repetition_penalty != 1 || sampling.presence_penalty != 0 ||
        sampling.frequency_penalty != 0)
      continue;
    // Every row may draw a token: none beyond what the request or the context allows.
    const size_t left = std::min(request.max_tokens - sequence.generated(), limits_.max_context - sequence.tokens.size());
    const size_t most = std::min({left - 1, kFewRows / rows - 1, limits_.step_tokens / rows - 1});
    sequence.lookup.propose(sequence.tokens, most, sequence.draft);
  }
}

std::vector<ScheduledRun> Scheduler::plan(std::vector<std::unique_ptr<Sequence>>& failed) {
  std::vector<ScheduledRun> plan;
  size_t budget = limits_.step_tokens;
  bool preempted = false;
  draft();

  // Running sequences, decoding ones first: one row each, so that no prefill can stall them.
  for (const bool decoding : {true, false}) {
    for (size_t i = 0; i < running_.size() && budget > 0; ++i) {
      Sequence& sequence = *running_[i];
      if ((sequence.remaining() == 1) != decoding) continue;
      if (!reserve(sequence, std::min(sequence.remaining() + sequence.draft.size(), budget))) sequence.draft.clear();
      const size_t rows = std::min(sequence.remaining() + sequence.draft.size(), budget);
      while (!reserve(sequence, rows)) {
        preempted = true;
        Sequence* const youngest = running_.back().get();
        const auto planned = std::find_if(plan.begin(), plan.end(),
                                          [&](const ScheduledRun& run) { return run.sequence == youngest; });
        if (planned != plan.end()) {
          budget += planned->rows;
          plan.erase(planned);
        }
        preempt_youngest();
        if (youngest == &sequence) break;
      }
      if (i >= running_.size() || running_[i].get() != &sequence) break;  // it gave up its own place
      plan.push_back({&sequence, rows});
      budget -= rows;
    }
  }

  // New ones in order of arrival. Where pages are short the first that does not fit ends the search, so that no small
  // request overtakes a large one for ever; one that waits for its adapter is passed by. The want of the first of all
  // is urgent; where even that waits for room, no adapter behind it starts, so that running ones end and the room comes.
  waiting_for_adapter_ = 0;
  bool pages_short = preempted;
  bool adapters_short = false;
  bool first = true;  // nobody before it goes on waiting
  for (size_t i = 0; i < waiting_.size();) {
    std::unique_ptr<Sequence>& sequence = waiting_[i];
    if (sequence->request.adapter != 0) {
      const AdapterStore::Want want = adapters_.want(sequence->request.adapter, !sequence->adapter_asked, first);
      sequence->adapter_asked = true;
      if (want == AdapterStore::Want::failed) {
        failed.push_back(std::move(sequence));
        waiting_.erase(waiting_.begin() + static_cast<std::ptrdiff_t>(i));
        continue;
      }
      if (want != AdapterStore::Want::ready || adapters_short) {
        adapters_short = adapters_short || (first && want == AdapterStore::Want::no_room);
        first = false;
        ++waiting_for_adapter_;
        ++i;
        continue;
      }
    }
    const size_t before = plan.size();
    if (!pages_short && budget > 0 && running_.size() < limits_.max_sequences && admit(sequence, budget, plan)) {
      budget -= plan[before].rows;
      waiting_.erase(waiting_.begin() + static_cast<std::ptrdiff_t>(i));
      continue;
    }
    pages_short = true;
    first = false;
    ++i;
  }

  std::stable_sort(plan.begin(), plan.end(), [](const ScheduledRun& a, const ScheduledRun& b) {
    return a.sequence->request.adapter < b.sequence->request.adapter;
  });
  return plan;
}

}  // namespace colophon
