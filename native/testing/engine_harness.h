#pragma once

#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <ostream>
#include <string>
#include <thread>
#include <vector>

#include "engine/engine.h"

namespace colophon::testing {

/// Everything a sequence gave.
struct Outcome {
  std::vector<int32_t> tokens;
  std::vector<float> logprobs;
  FinishReason finish = FinishReason::none;
  int32_t cached_tokens = 0;
  std::vector<float> pooled;
  std::vector<float> states;  ///< of each token, one after the other
  bool operator==(const Outcome& o) const {
    return tokens == o.tokens && logprobs == o.logprobs && finish == o.finish && pooled == o.pooled &&
           states == o.states;
  }
};
inline std::ostream& operator<<(std::ostream& out, const Outcome& o) {
  out << "[finish " << static_cast<int>(o.finish) << ":";
  for (size_t i = 0; i < o.tokens.size(); ++i) out << " " << o.tokens[i] << "/" << o.logprobs[i];
  return out << "]";
}

/// An engine whose results are gathered by sequence.
class Harness {
 public:
  /// `on_token`: called on the loop thread for each token, after it was gathered.
  explicit Harness(EngineOptions options, std::function<void(Engine&, const StepEntry&)> on_token = {}) {
    engine_ = Engine::create(options, [this, on_token](StepResult&& step) {
      if (on_token)
        for (const StepEntry& entry : step.entries)
          if (entry.token >= 0) on_token(*engine_, entry);
      std::lock_guard lock(mutex_);
      warnings_.insert(warnings_.end(), step.warnings.begin(), step.warnings.end());
      for (const StepError& error : step.errors) errors_[error.sequence] = error.message;
      for (const PooledState& state : step.pooled) outcomes_[state.sequence].pooled = state.values;
      for (const StepEntry& entry : step.entries) {
        Outcome& outcome = outcomes_[entry.sequence];
        if (entry.token >= 0) {
          outcome.tokens.push_back(entry.token);
          if (entry.state >= 0) {
            const size_t hidden = engine_->info().hyperparameters.hidden, first = static_cast<size_t>(entry.state) * hidden;
            for (size_t i = 0; i < hidden; ++i) outcome.states.push_back(step.states[first + i]);
          }
          outcome.logprobs.push_back(entry.has_logprobs ? entry.logprobs.logprob : 0);
        }
        outcome.cached_tokens += entry.cached_tokens;
        if (entry.finish != FinishReason::none) outcome.finish = entry.finish;
      }
      changed_.notify_all();
    });
  }
  Engine& operator*() { return *engine_; }
  Engine* operator->() { return engine_.get(); }
  Outcome wait(uint32_t id) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return outcomes_[id].finish != FinishReason::none; });
    return outcomes_[id];
  }
  Outcome run(const SequenceRequest& request) { return wait(engine_->submit(request)); }
  /// Once at least `count` tokens have come.
  void wait_tokens(uint32_t id, size_t count) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return outcomes_[id].tokens.size() >= count || outcomes_[id].finish != FinishReason::none; });
  }
  std::string error(uint32_t id) {
    std::lock_guard lock(mutex_);
    return errors_[id];
  }
  /// Waits for the first.
  std::vector<std::string> warnings() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return !warnings_.empty(); });
    return warnings_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<uint32_t, Outcome> outcomes_;
  std::map<uint32_t, std::string> errors_;
  std::vector<std::string> warnings_;
  std::unique_ptr<Engine> engine_;
};

/// The loop records its counters just before it delivers, so they are current once a result has come; a finish without
/// a token may be followed by one more step.
inline EngineStats settled(Harness& harness) {
  for (;;) {
    const EngineStats stats = harness->stats();
    if (stats.running + stats.waiting == 0) return stats;
    std::this_thread::yield();
  }
}

inline EngineOptions options_for(const std::string& model) {
  EngineOptions options;
  options.model.gguf_path = model;
  options.threads = 2;
  options.kv_bytes = 8 << 20;
  options.adapter_bytes = 64 << 20;
  return options;
}

}  // namespace colophon::testing
