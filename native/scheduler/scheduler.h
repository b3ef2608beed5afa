#pragma once

#include <deque>
#include <memory>
#include <vector>

#include "adapters/adapter_store.h"
#include "cache/page_cache.h"
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

/// Decides who runs next. Continuous batching with chunked prefill (Orca, OSDI 2022; Sarathi-Serve, OSDI 2024): every
/// decoding sequence has its token in every step, prefills share what is left of the step's tokens in order of arrival.
/// When pages run out, the youngest running sequence gives its own up and goes to the head of the queue; recomputing it
/// is exact (promise 1) and mostly a prefix hit. While few sequences decode, a step costs little more with a few rows more
/// (it is the weights' reading that takes the time): then drafts of what may follow are verified beside the next token
/// (https://arxiv.org/abs/2211.17192), which changes no result, since each row's is its own. A sequence whose adapter is not resident waits without holding up the
/// ones behind it.
class Scheduler {
 public:
  Scheduler(SchedulerLimits limits, PageCache& pages, AdapterStore& adapters)
      : limits_(limits), pages_(pages), adapters_(adapters) {}

  void add(std::unique_ptr<Sequence> sequence);
  /// Removes a sequence wherever it is and gives up what it holds; null where it is unknown.
  std::unique_ptr<Sequence> remove(uint32_t id);

  /// The next step, runs of one adapter side by side; empty where nothing can run now. Sequences whose adapter cannot be
  /// had are moved to `failed`.
  std::vector<ScheduledRun> plan(std::vector<std::unique_ptr<Sequence>>& failed);

  /// After a step: the pages that it filled become findable.
  void publish(Sequence& sequence);

  bool idle() const { return waiting_.empty() && running_.empty(); }
  size_t waiting() const { return waiting_.size(); }
  size_t waiting_for_adapter() const { return waiting_for_adapter_; }
  size_t running() const { return running_.size(); }
  uint64_t preemptions() const { return preemptions_; }

 private:
  void draft();
  bool reserve(Sequence& sequence, size_t rows);
  void preempt_youngest();
  bool admit(std::unique_ptr<Sequence>& sequence, size_t budget, std::vector<ScheduledRun>& plan);
  void match_prefix(Sequence& sequence);
  void give_up(Sequence& sequence);
  void extend_chain(Sequence& sequence, size_t full_pages);

  const SchedulerLimits limits_;
  PageCache& pages_;
  AdapterStore& adapters_;
  std::deque<std::unique_ptr<Sequence>> waiting_;   ///< in order of arrival, preempted ones first
  std::vector<std::unique_ptr<Sequence>> running_;  ///< oldest first
  size_t waiting_for_adapter_ = 0;
  uint64_t preemptions_ = 0;
};

}  // namespace colophon
