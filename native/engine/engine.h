#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "adapters/adapter_store.h"
#include "engine/error.h"
#include "loader/sha256.h"
#include "model/model_file.h"
#include "ops/isa.h"
#include "sampler/sampler.h"
#include "sampler/token_mask.h"
#include "trace/trace_index.h"

namespace colophon {

struct EngineOptions {
  ModelSource model;
  std::optional<Isa> isa;  ///< default: the best that the machine runs
  Precision precision = Precision::int8;
  size_t threads = 0;  ///< 0: the number of cores
  size_t kv_bytes = 0, adapter_bytes = 0;
  bool lend_memory = false;  ///< pages and adapters may borrow what the other does not use of its bytes
  size_t adapter_loaders = 2;  ///< adapters read at once
  std::string packed_dir;      ///< keeps adapters as they lie in memory, so that they are read fast; empty: nowhere
  uint64_t packed_bytes = uint64_t{32} << 30;
  size_t step_tokens = 256;    ///< rows of one step at most; the size of a prefill chunk
  size_t max_sequences = 256;  ///< running at once
  size_t max_context = 0;      ///< 0: the model's
  bool prefix_cache = true;
  bool speculate = true;  ///< verify guesses at the next tokens where that pays; changes no result
};

/// What a sequence gives instead of tokens: a row of the model's last normalised hidden states.
enum class Pool : uint8_t {
  none,
  mean,  ///< over the prompt's tokens
  last,  ///< that of the last token
};

struct SequenceRequest {
  std::vector<int32_t> prompt;
  uint32_t adapter = 0;  ///< handle; 0: the base
  size_t max_tokens = 1, min_tokens = 0;
  SamplingOptions sampling;
  std::vector<int32_t> stop_token_ids;
  int logprobs = -1, prompt_logprobs = -1;  ///< top count; -1: none at all
  std::string cache_salt;
  std::string tenant;    ///< among tenants the engine is shared fairly
  int32_t priority = 0;  ///< lower values first
  /// Constrains the sequence: the first token is drawn among these, and each one after it waits for its own mask from
  /// set_mask. Empty: all tokens, always. Where min_tokens forbids all that a mask allows, the mask holds.
  MaskWords mask;
  /// Wants the states that its tokens are drawn from (StepResult::states).
  bool answer_states = false;
  /// Other than none: the prompt's pooled hidden state is the result; no token is drawn, and what is about tokens is ignored.
  Pool pool = Pool::none;
};

enum class FinishReason : uint8_t { none, stop, length, cancelled, error, pooled };

/// One row of a step's results: a token, or only a finish.
struct StepEntry {
  uint32_t sequence;
  int32_t token;     ///< -1: only a finish
  int32_t position;  ///< the token's index in its sequence
  FinishReason finish;
  int32_t cached_tokens;  ///< set on the first generated token, or on the finish `pooled`
  bool has_logprobs;
  TokenLogprobs logprobs;
  float queue_seconds = 0;  ///< from submit to its first rows; set where cached_tokens is
  /// Of the tokens generated so far, this one last, the longest end that the adapter's trace index has; of length 0 where
  /// there is none, or no index.
  TraceMatch match{};
  int32_t state = -1;  ///< the row of StepResult::states that the token was drawn from; -1: it was not asked for
};

struct StepError {
  uint32_t sequence;
  ErrorCode code;
  std::string message;
};

/// The result of a sequence with a Pool, whose entry has the finish `pooled` and no token.
struct PooledState {
  uint32_t sequence;
  std::vector<float> values;  ///< [hidden], not normalised
};

struct StepResult {
  std::vector<StepEntry> entries;
  std::vector<PooledState> pooled;
  std::vector<float> states;  ///< [tokens that asked, hidden]: the model's last normalised hidden states
  std::vector<StepError> errors;
  std::vector<std::string> warnings;  ///< sentences for whoever runs the server
};

struct EngineInfo {
  Isa isa;
  Precision precision;
  size_t threads;
  Digest base_hash;
  Hyperparameters hyperparameters;
  size_t max_context, weight_bytes, kv_bytes, kv_pages, page_tokens, adapter_bytes;
};

struct EngineStats {
  size_t waiting = 0, waiting_for_adapter = 0, running = 0;
  size_t pages_total = 0, pages_used = 0, pages_cached = 0;
  uint64_t steps = 0, prompt_tokens = 0, cached_tokens = 0, generated_tokens = 0, preemptions = 0;
  uint64_t drafted_tokens = 0, accepted_tokens = 0;  ///< guessed, and of these right
  AdapterTotals adapters{};
  double step_seconds = 0;
};

/// The engine: one loop thread that schedules, runs and settles steps while there is work. Every method may be called
/// from any thread.
class Engine {
 public:
  /// Receives a step's results on the loop thread; must not block for long and must not call destroy.
  using Listener = std::function<void(StepResult&&)>;

  /// Loads the model and starts the loop. Throws Error.
  static std::unique_ptr<Engine> create(const EngineOptions& options, Listener listener);
  virtual ~Engine() = default;

  virtual const EngineInfo& info() const = 0;
  virtual EngineStats stats() const = 0;
  virtual AdapterStore& adapters() = 0;

  /// Queues a sequence and returns its number. Throws Error(invalid_argument | not_found).
  virtual uint32_t submit(SequenceRequest request) = 0;
  virtual void cancel(uint32_t sequence) = 0;
  /// The tokens that a constrained sequence may have at `position` (StepEntry's). No step waits for it: a sequence whose
  /// mask has not come is left out. The last mask of a sequence is kept; one of a sequence that has ended is ignored.
  /// Throws Error(invalid_argument) where it does not have mask_words(vocabulary) words.
  virtual void set_mask(uint32_t sequence, size_t position, MaskWords mask) = 0;
};

}  // namespace colophon
