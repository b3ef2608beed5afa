#pragma once

#include <deque>
#include <memory>
#include <vector>

#include "adapters/adapter_store.h"
#include "cache/page_cache.h"
#include "scheduler/fairness.h"
#include "scheduler/sequence.h"

namespace colophon {

/// What one step computes of one sequence: its next `rows` tokens, the last of which may be its draft.
struct ScheduledRun {
  Sequence* sequence;
  size_t rows;
};

struct SchedulerLimits {
  size_t step_tokens, max_sequences, max_context;
  bool prefix_cache, speculate;
};

/// What one step will compute.
struct StepPlan {
  std::vector<ScheduledRun> runs;
  size_t rows;           ///< that it has
  size_t budget;         ///< of these, left
  bool closed = false;  ///< who should start next cannot: who is behind it starts only within its tenant's own share
  bool locked = false;  ///< nor there, without a claim
};

/// Decides who runs next. Continuous batching with chunked prefill (Orca, OSDI 2022; Sarathi-Serve, OSDI 2024): every
/// decoding sequence has its token in every step, prompts share what is left of the step's rows, and the places, in turns
/// (turns.h): by priority class, then to the tenant and the adapter that were served least (fairness.h), then in order of
/// arrival. Five rules more:
/// - A tenant below its share of places and pages (all, over the tenants that are there) takes what it needs from those above
///   theirs, and an earlier class from a later: the youngest there give up theirs. Only sequences that have got a token since
///   they got their place, so that all get on, and no tenant falls below its share.
/// - Rows for its prompts a tenant gets from the prompts and the decoding sequences of those that were served no less, and up
///   to its share of the step's rows from those above theirs; no decoding one rests for two steps in a row.
/// - While several tenants are there, or were lately, steps are short, since who comes waits for the one under way and then
///   for its own, and tenants run few sequences each that fill them.
/// - After kPatience of cost was served to others, the sequence that came first has the next turn, and after twice as much
///   no other starts before it: none waits for ever.
/// - When pages run out, the youngest sequence of the latest class and the tenant that holds the most gives its own up,
///   never the one that came first, so that this one ends.
/// Who gives up goes back to the queue; recomputing it is exact (promise 1) and mostly a prefix hit. While few sequences
/// decode, a step costs little more with a few rows more (it is the weights' reading that takes the time): then drafts of
/// what may follow are verified beside the next token (https://arxiv.org/abs/2211.17192), which changes no result, since
/// each row's is its own. A sequence whose adapter is not resident waits without holding up the ones behind it.
class Scheduler {
 public:
  struct Part {
    size_t of, in;
  };
  /// Cost (fairness.h) served past the sequence that came first before it has a turn whatever its class and tenant: some
  /// hundred steps of a middling batch.
  static constexpr uint64_t kPatience = 16384;
  /// Cost served after which a tenant that left was not there lately.
  static constexpr uint64_t kLately = 4 * kPatience;
  /// The part of a step's rows that it has while several tenants are there, and the part up to which it grows for the prompt
  /// of one that was served no more than the others. On a CPU a row costs about as much in a step of 64 as in one of 256.
  static constexpr Part kShared{3, 16}, kComing{1, 4};

  Scheduler(SchedulerLimits limits, PageCache& pages, AdapterStore& adapters)
      : limits_(limits), pages_(pages), adapters_(adapters) {}

  void add(std::unique_ptr<Sequence> sequence);
  /// Removes a sequence wherever it is and gives up what it holds; null where it is unknown.
  std::unique_ptr<Sequence> remove(uint32_t id);

  /// A sequence wherever it is; null where it is unknown.
  Sequence* find(uint32_t id);

  /// The next step, runs of one adapter side by side; empty where nothing can run now. Sequences whose adapter cannot be
  /// had are moved to `failed`.
  std::vector<ScheduledRun> plan(std::vector<std::unique_ptr<Sequence>>& failed);

  /// After a step computed rows of the sequence, before their tokens are added to it: counts what was generated, and the
  /// pages that are full become findable.
  void computed(Sequence& sequence);

  bool idle() const { return waiting_.empty() && running_.empty(); }
  size_t waiting() const { return waiting_.size(); }
  size_t waiting_for_adapter() const { return waiting_for_adapter_; }
  size_t running() const { return running_.size(); }
  uint64_t preemptions() const { return preemptions_; }

 private:
  void draft(size_t step_rows);
  std::vector<ScheduledRun> attempt(std::vector<std::unique_ptr<Sequence>>& failed);
  void plan_decoding(StepPlan& step);
  void plan_prompts(StepPlan& step, std::vector<std::unique_ptr<Sequence>>& failed);
  void run(Sequence& sequence, size_t rows, StepPlan& step);
  void cut(std::vector<ScheduledRun>::iterator run, size_t rows, StepPlan& step);
  bool begin(Sequence& sequence, StepPlan& step);
  size_t step_rows() const;
  size_t part(Part part) const { return std::max<size_t>(1, limits_.step_tokens * part.of / part.in); }
  bool shared() const { return gives_way_ && served_ < shared_until_; }
  bool has_enough(const Sequence& sequence) const;
  bool within_share(const Sequence& sequence) const;
  std::vector<Sequence*> claimable(const Sequence& sequence) const;
  void make_rows(const Sequence& sequence, StepPlan& step);
  bool have_pages(size_t count);
  bool reserve(Sequence& sequence, size_t rows);
  bool reserve_or_preempt(Sequence& sequence, size_t rows, StepPlan& step);
  void preempt(Sequence& victim, StepPlan& step);
  void leave(Sequence& sequence);
  void serve(Sequence& sequence, uint64_t cost);
  void publish(Sequence& sequence);
  void match_prefix(Sequence& sequence);
  void give_up(Sequence& sequence);
  void extend_chain(Sequence& sequence, size_t full_pages);

  const SchedulerLimits limits_;
  PageCache& pages_;
  AdapterStore& adapters_;
  Tenants tenants_;
  std::deque<std::unique_ptr<Sequence>> waiting_;   ///< in order of arrival
  std::vector<std::unique_ptr<Sequence>> running_;  ///< in order of arrival
  uint64_t arrivals_ = 0;
  uint64_t served_ = 0;       ///< cost of everything
  uint64_t shared_until_ = 0;  ///< what it will be when several tenants were there lately no longer
  uint64_t oldest_turn_ = 0;  ///< what it was when the sequence that came first last had a turn
  bool gives_way_ = true;      ///< tenants give up rows and places for others
  size_t waiting_for_adapter_ = 0;
  uint64_t preemptions_ = 0;
};

}  // namespace colophon
