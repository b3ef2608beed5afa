#include "scheduler/scheduler.h"

#include <algorithm>
#include <tuple>
#include <unordered_map>

#include "cache/prefix_chain.h"
#include "ops/attention.h"
#include "scheduler/turns.h"

namespace colophon {
namespace {

/// Rows up to which one more costs a step little.
constexpr size_t kFewRows = 8;

size_t pages_for(size_t tokens) { return (tokens + kPageTokens - 1) / kPageTokens; }

/// The later class first, of equals the tenant that holds the most pages, of its sequences the youngest.
bool gives_up_before(const Sequence& a, const Sequence& b) {
  const auto order = [](const Sequence& s) { return std::tuple(s.request.priority, s.tenant->pages, s.arrival); };
  return order(a) > order(b);
}

// Waiting and running sequences lie in order of arrival.

template <typename Line>
auto position(Line& line, const Sequence& sequence) {
  return std::lower_bound(line.begin(), line.end(), sequence.arrival,
                          [](const std::unique_ptr<Sequence>& s, uint64_t arrival) { return s->arrival < arrival; });
}
template <typename Line>
std::unique_ptr<Sequence> take(Line& line, const Sequence& sequence) {
  const auto found = position(line, sequence);
  std::unique_ptr<Sequence> out = std::move(*found);
  line.erase(found);
  return out;
}
template <typename Line>
void put(Line& line, std::unique_ptr<Sequence> sequence) {
  const auto at = position(line, *sequence);
  line.insert(at, std::move(sequence));
}

}  // namespace

void Scheduler::add(std::unique_ptr<Sequence> sequence) {
  // Asked for at once, so that loading overlaps the wait for a place.
  if (sequence->request.adapter != 0) {
    adapters_.want(sequence->request.adapter, true, false);
    sequence->adapter_asked = true;
  }
  sequence->arrival = ++arrivals_;
  Tenant& tenant = tenants_.enter(sequence->request.tenant);
  sequence->tenant = &tenant;
  sequence->adapter_served = &tenant.adapters.enter(sequence->request.adapter);
  waiting_.push_back(std::move(sequence));
}

std::unique_ptr<Sequence> Scheduler::remove(uint32_t id) {
  const auto is_it = [id](const std::unique_ptr<Sequence>& s) { return s->id == id; };
  std::unique_ptr<Sequence> out;
  if (const auto found = std::find_if(running_.begin(), running_.end(), is_it); found != running_.end()) {
    out = take(running_, **found);
    give_up(*out);
  } else if (const auto queued = std::find_if(waiting_.begin(), waiting_.end(), is_it); queued != waiting_.end()) {
    out = take(waiting_, **queued);
  }
  if (out) leave(*out);
  return out;
}

/// The sequence is counted no longer.
void Scheduler::leave(Sequence& sequence) {
  sequence.tenant->adapters.leave(sequence.request.adapter);
  tenants_.leave(sequence.request.tenant);
  sequence.tenant = nullptr;
  sequence.adapter_served = nullptr;
}

void Scheduler::serve(Sequence& sequence, uint64_t cost) {
  tenants_.serve(sequence.request.tenant, cost);
  sequence.tenant->adapters.serve(sequence.request.adapter, cost);
  served_ += cost;
}

Sequence* Scheduler::find(uint32_t id) {
  for (const auto& sequence : running_)
    if (sequence->id == id) return sequence.get();
  for (const auto& sequence : waiting_)
    if (sequence->id == id) return sequence.get();
  return nullptr;
}

/// Releases place, pages and adapter; the sequence can start again from its tokens.
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
  if (sequence.running) --sequence.tenant->running;
  sequence.running = false;
  sequence.rested = false;
}

void Scheduler::preempt(Sequence& victim, StepPlan& step) {
  const auto planned = std::find_if(step.runs.begin(), step.runs.end(),
                                    [&](const ScheduledRun& run) { return run.sequence == &victim; });
  if (planned != step.runs.end()) cut(planned, planned->rows, step);
  victim.tenant->pages -= std::min(victim.tenant->pages, victim.pages.size());
  std::unique_ptr<Sequence> owned = take(running_, victim);
  give_up(victim);
  put(waiting_, std::move(owned));
  ++preemptions_;
}

/// Puts the sequence's next rows, for which it has pages, into the step, and counts what of its prompt they cost.
void Scheduler::run(Sequence& sequence, size_t rows, StepPlan& step) {
  step.runs.push_back({&sequence, rows});
  step.budget -= rows;
  sequence.tenant->rows += rows;
  const size_t end = std::min(sequence.computed + rows, sequence.prompt_tokens);
  if (end <= sequence.prompt_charged) return;
  serve(sequence, kPromptCost * (end - sequence.prompt_charged));
  sequence.prompt_charged = end;
}

/// Takes the last rows of a run out of the step again.
void Scheduler::cut(std::vector<ScheduledRun>::iterator run, size_t rows, StepPlan& step) {
  step.budget += rows;
  run->sequence->tenant->rows -= rows;
  run->rows -= rows;
  if (run->rows == 0) step.runs.erase(run);
}

/// Whether there are `count` pages, be it that adapters give back memory of the pages' share that they had borrowed.
bool Scheduler::have_pages(size_t count) {
  while (!pages_.want(count) && adapters_.give_back(pages_.available() < count)) {
  }
  return pages_.available() >= count;
}

/// Pages for `rows` more tokens; all of them or none.
bool Scheduler::reserve(Sequence& sequence, size_t rows) {
  const size_t needed = pages_for(sequence.computed + rows);
  if (needed > sequence.pages.size() && !have_pages(needed - sequence.pages.size())) return false;
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

void Scheduler::computed(Sequence& sequence) {
  if (!sequence.pools() && sequence.computed >= sequence.tokens.size())
    serve(sequence, kGeneratedCost * (sequence.computed - sequence.tokens.size() + 1));
  publish(sequence);
}

void Scheduler::publish(Sequence& sequence) {
  if (!limits_.prefix_cache) return;
  // Of a draft that held, the tokens are not the sequence's before they are delivered.
  const size_t full = std::min(sequence.computed, sequence.tokens.size()) / kPageTokens;
  extend_chain(sequence, full);
  for (; sequence.published < full; ++sequence.published)
    pages_.publish(sequence.pages[sequence.published], sequence.chain[sequence.published]);
}

/// Pages for `rows` more tokens, if need be those of others; false where it had to give up its own.
bool Scheduler::reserve_or_preempt(Sequence& sequence, size_t rows, StepPlan& step) {
  while (!reserve(sequence, rows)) {
    // Never the first: it has room at last when it is alone, so that it ends. Alone it lacks pages only until an adapter is
    // loaded that had begun to be in their memory.
    const auto others = running_.begin() + (running_.size() > 1 ? 1 : 0);
    Sequence* const victim =
        std::min_element(others, running_.end(), [](const auto& a, const auto& b) { return gives_up_before(*a, *b); })->get();
    const bool itself = victim == &sequence;
    step.closed = true;
    victim->tenant->refused = true;
    preempt(*victim, step);
    if (itself) return false;
  }
  return true;
}

/// Takes the longest cached prefix, short of the last token: it must run, since its logits are wanted.
void Scheduler::match_prefix(Sequence& sequence) {
  if (!limits_.prefix_cache || sequence.needs_all_rows()) return;
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

/// Rows of the next step: for all that decode, and some for prompts.
size_t Scheduler::step_rows() const {
  if (!shared()) return limits_.step_tokens;
  const auto decodes = [](const std::unique_ptr<Sequence>& s) { return s->remaining() == 1; };
  const auto decoding = static_cast<size_t>(std::count_if(running_.begin(), running_.end(), decodes));
  const size_t rows = part(kShared);
  return std::min(limits_.step_tokens, std::max(rows, decoding + (rows + 1) / 2));
}

/// Whether enough run while several tenants are there, and of the sequence's own no fewer than of others.
bool Scheduler::has_enough(const Sequence& sequence) const {
  const size_t running = running_.size();
  return shared() && 2 * running >= part(kShared) && sequence.tenant->running * tenants_.present() >= running;
}

/// Whether a waiting sequence's tenant stays within its share of places and pages with it.
bool Scheduler::within_share(const Sequence& sequence) const {
  const Tenant& tenant = *sequence.tenant;
  return (tenant.running + 1) * tenants_.present() <= limits_.max_sequences &&
         (tenant.pages + pages_for(sequence.tokens.size())) * tenants_.present() <= pages_.total();
}

/// Those who have to give up their places for a waiting sequence; none where that would not be enough. No tenant is taken
/// below its share, so that it cannot take back what it gave.
std::vector<Sequence*> Scheduler::claimable(const Sequence& sequence) const {
  struct Held {
    size_t running, pages;
  };
  const Held share{std::max<size_t>(1, limits_.max_sequences / tenants_.present()), pages_.total() / tenants_.present()};
  const Tenant& tenant = *sequence.tenant;
  const bool below_share = tenant.running < share.running && tenant.pages < share.pages;
  std::vector<Sequence*> others;
  for (size_t i = 1; i < running_.size(); ++i) {  // the first keeps its place, so that it ends
    Sequence& other = *running_[i];
    const bool later = other.request.priority > sequence.request.priority;
    const bool equal = other.request.priority == sequence.request.priority;
    if (other.generated() == other.generated_before) continue;
    if (later || (equal && below_share && other.tenant != &tenant)) others.push_back(&other);
  }
  std::sort(others.begin(), others.end(), [](const Sequence* a, const Sequence* b) { return gives_up_before(*a, *b); });

  const size_t needed = pages_for(sequence.tokens.size());
  size_t places = limits_.max_sequences - running_.size();
  size_t pages = sequence.pages.size() + pages_.available();
  std::vector<Sequence*> victims;
  std::unordered_map<const Tenant*, Held> left;
  for (Sequence* const other : others) {
    if (places > 0 && pages >= needed) break;
    Held& held = left.try_emplace(other->tenant, Held{other->tenant->running, other->tenant->pages}).first->second;
    const bool above_share = held.running > share.running || held.pages >= share.pages + other->pages.size();
    if (other->request.priority == sequence.request.priority && !above_share) continue;
    --held.running;
    held.pages -= std::min(held.pages, other->pages.size());
    ++places;
    pages += static_cast<size_t>(std::count_if(other->pages.begin(), other->pages.end(),
                                               [&](uint32_t page) { return !pages_.shared(page); }));
    victims.push_back(other);
  }
  if (places == 0 || pages < needed) victims.clear();
  return victims;
}

/// A sequence gets rows of tenants that were served no less, and up to its tenant's share of the step's rows those of tenants
/// above theirs: of their prompts, and of decoding sequences, which then rest. Where all others were served no less, the step
/// may grow for it.
void Scheduler::make_rows(const Sequence& sequence, StepPlan& step) {
  if (!gives_way_) return;
  const size_t share = step.rows / tenants_.present();
  const Tenant& tenant = *sequence.tenant;
  bool least_served = true;
  for (size_t i = step.runs.size(); i > 0; --i) {
    const auto run = step.runs.begin() + static_cast<std::ptrdiff_t>(i - 1);
    Sequence& other = *run->sequence;
    const bool served_no_less = other.tenant->cost >= tenant.cost;  // who has just come has what the least served has
    least_served = least_served && served_no_less;
    const size_t most = served_no_less ? step.rows : share, kept = served_no_less ? 0 : share;
    const size_t wanted = std::min(sequence.remaining(), most - std::min(most, tenant.rows));
    if (other.tenant == &tenant || other.tenant->given || other.tenant->rows <= kept || wanted <= step.budget) continue;
    if (other.request.priority < sequence.request.priority) continue;
    const bool decoding = other.remaining() == 1;
    if (decoding && other.rested) continue;
    const size_t more = std::min(wanted - step.budget, other.tenant->rows - kept);
    other.rested = decoding;
    cut(run, decoding ? run->rows : std::min(run->rows, more), step);
    sequence.tenant->given = true;
  }
  if (!shared() || !least_served || sequence.remaining() <= step.budget) return;
  const size_t room = part(kComing) - std::min(part(kComing), step.rows - step.budget);
  const size_t more = std::min(room, sequence.remaining()) - std::min(room, step.budget);
  step.rows += more;
  step.budget += more;
}

/// Starts a waiting sequence where there are a place, pages for all of its tokens (a prefill begun without them would be
/// preempted by the first shortage) and rows, be it that others give them up; else it may close the step.
bool Scheduler::begin(Sequence& sequence, StepPlan& step) {
  Tenant& tenant = *sequence.tenant;
  if (tenant.refused && (step.closed || step.budget == 0)) return false;
  const auto fits = [&] {
    const size_t needed = pages_for(sequence.tokens.size());
    return running_.size() < limits_.max_sequences &&
           (needed <= sequence.pages.size() || have_pages(needed - sequence.pages.size()));
  };
  const auto refuse = [&] {
    give_up(sequence);
    tenant.refused = true;
    return false;
  };
  match_prefix(sequence);
  const bool open = !step.closed || (!step.locked && within_share(sequence));
  if (!open || !fits()) {
    step.closed = true;
    const std::vector<Sequence*> victims = claimable(sequence);
    if (victims.empty()) return refuse();
    for (Sequence* const victim : victims) preempt(*victim, step);
    if (!fits()) return refuse();
  }
  make_rows(sequence, step);
  if (step.budget == 0) return refuse();
  if (sequence.request.adapter != 0) {
    sequence.adapter = adapters_.acquire(sequence.request.adapter);
    if (!sequence.adapter) {  // evicted since it was asked for
      give_up(sequence);
      return false;
    }
  }
  sequence.running = true;
  ++tenant.running;
  sequence.generated_before = sequence.generated();
  sequence.prompt_charged = std::max(sequence.prompt_charged, std::min(sequence.computed, sequence.prompt_tokens));
  const size_t rows = std::min(sequence.remaining(), step.budget);
  reserve(sequence, rows);
  run(sequence, rows, step);
  put(running_, take(waiting_, sequence));
  return true;
}

/// Drafts for the decoding sequences, where they leave rows for it and nobody waits for a place.
void Scheduler::draft(size_t step_rows) {
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
    // Penalties and masks depend on the tokens before, which a draft only supposes.
    if (sequence.remaining() != 1 || sequence.pools() || sequence.constrained() || sampling.repetition_penalty != 1 || sampling.presence_penalty != 0 ||
        sampling.frequency_penalty != 0)
      continue;
    // Every row may draw a token: none beyond what the request or the context allows.
    const size_t left = std::min(request.max_tokens - sequence.generated(), limits_.max_context - sequence.tokens.size());
    const size_t most = std::min({left - 1, kFewRows / rows - 1, step_rows / rows - 1});
    sequence.lookup.propose(sequence.tokens, most, sequence.draft);
  }
}

/// What one rests for may not come about: who was given its rows may find no pages. A step must not be empty for that, since
/// nothing would wake the engine: then nobody gives up rows or waits for others' sake.
std::vector<ScheduledRun> Scheduler::plan(std::vector<std::unique_ptr<Sequence>>& failed) {
  std::vector<ScheduledRun> runs = attempt(failed);
  if (!runs.empty() || idle()) return runs;
  gives_way_ = false;
  runs = attempt(failed);
  gives_way_ = true;
  return runs;
}

std::vector<ScheduledRun> Scheduler::attempt(std::vector<std::unique_ptr<Sequence>>& failed) {
  if (tenants_.present() > 1) shared_until_ = served_ + kLately;
  const size_t rows = step_rows();
  StepPlan step{{}, rows, rows};
  const auto start = [](const std::unique_ptr<Sequence>& sequence) {
    Tenant& tenant = *sequence->tenant;
    tenant.rows = tenant.pages = 0;
    tenant.refused = tenant.given = false;
  };
  std::for_each(running_.begin(), running_.end(), start);
  std::for_each(waiting_.begin(), waiting_.end(), start);
  for (const auto& sequence : running_) sequence->tenant->pages += sequence->pages.size();
  draft(step.rows);
  plan_decoding(step);
  plan_prompts(step, failed);
  for (const ScheduledRun& run : step.runs) run.sequence->rested = false;
  std::stable_sort(step.runs.begin(), step.runs.end(), [](const ScheduledRun& a, const ScheduledRun& b) {
    return a.sequence->request.adapter < b.sequence->request.adapter;
  });
  return std::move(step.runs);
}

/// A row each for the decoding sequences, before any prompt's, so that no prefill can stall them.
void Scheduler::plan_decoding(StepPlan& step) {
  std::vector<Sequence*> decoding;
  for (const auto& sequence : running_)
    if (sequence->remaining() == 1) decoding.push_back(sequence.get());
  for (Sequence* const sequence : decoding) {
    if (step.budget == 0) break;
    if (!sequence->running) continue;  // it lost its place to one before it
    // A mask mostly comes while the model computes, so the row is tried without it; but once.
    if (sequence->mask_missed && !sequence->has_mask()) continue;
    if (!reserve(*sequence, std::min(1 + sequence->draft.size(), step.budget))) sequence->draft.clear();
    const size_t rows = std::min(1 + sequence->draft.size(), step.budget);
    if (reserve_or_preempt(*sequence, rows, step)) run(*sequence, rows, step);
  }
}

/// Prompts, begun or waiting, in turns. Where pages or places are short the first that has to wait ends the search, so that
/// no small request overtakes a large one for ever; one that waits for its adapter is passed by. The want of the first of
/// all is urgent; where even that waits for room, no adapter behind it starts, so that running ones end and the room comes.
void Scheduler::plan_prompts(StepPlan& step, std::vector<std::unique_ptr<Sequence>>& failed) {
  std::vector<Sequence*> sequences;
  for (const auto& sequence : running_)
    if (sequence->remaining() != 1) sequences.push_back(sequence.get());
  for (const auto& sequence : waiting_) sequences.push_back(sequence.get());
  const auto oldest = std::min_element(sequences.begin(), sequences.end(), [](const Sequence* a, const Sequence* b) {
    return a->arrival < b->arrival;
  });
  Sequence* const first = oldest == sequences.end() ? nullptr : *oldest;
  if (first == nullptr) oldest_turn_ = served_;
  Turns turns(std::move(sequences), served_ - oldest_turn_ >= kPatience ? first : nullptr);
  waiting_for_adapter_ = 0;
  bool adapters_short = false;
  bool ahead = true;  // nobody before it goes on waiting
  while (Sequence* const sequence = turns.next()) {
    if (sequence->running) {
      make_rows(*sequence, step);
      const size_t rows = std::min(sequence->remaining(), step.budget);
      if (rows > 0 && reserve_or_preempt(*sequence, rows, step)) {
        run(*sequence, rows, step);
        if (sequence == first) oldest_turn_ = served_;
      }
      continue;
    }
    if (has_enough(*sequence) && !(sequence == first && served_ - oldest_turn_ >= kPatience)) continue;
    if (sequence->request.adapter != 0) {
      const AdapterStore::Want want = adapters_.want(sequence->request.adapter, !sequence->adapter_asked, ahead);
      sequence->adapter_asked = true;
      if (want == AdapterStore::Want::failed) {
        failed.push_back(take(waiting_, *sequence));
        leave(*sequence);
        continue;
      }
      if (want != AdapterStore::Want::ready || adapters_short) {
        adapters_short = adapters_short || (ahead && want == AdapterStore::Want::no_room);
        ahead = false;
        ++waiting_for_adapter_;
        continue;
      }
    }
    const bool began = begin(*sequence, step);
    ahead = ahead && began;
    if (sequence != first) continue;
    if (began) oldest_turn_ = served_;
    step.locked = served_ - oldest_turn_ >= 2 * kPatience;
  }
}

}  // namespace colophon
