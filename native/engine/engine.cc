#include "engine/engine.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <condition_variable>
#include <deque>
#include <future>
#include <mutex>
#include <thread>
#include <utility>

#include "cache/kv_arena.h"
#include "cache/page_cache.h"
#include "cache/prefix_chain.h"
#include "model/model.h"
#include "model/model_file.h"
#include "ops/preemption.h"
#include "scheduler/scheduler.h"

namespace colophon {
namespace {

/// Rows of logits computed at once: enough that the head's weights are read seldom, few enough that the logits stay small.
constexpr size_t kHeadRows = 64;

[[noreturn]] void invalid(const std::string& sentence) { throw Error(ErrorCode::invalid_argument, sentence); }

class EngineImpl final : public Engine {
 public:
  EngineImpl(const EngineOptions& options, Listener listener)
      : listener_(std::move(listener)), pool_(thread_count(options)), context_{pool_, chosen_isa(options)} {
    const ModelFile file = ModelFile::open(options.model);
    const Hyperparameters& h = file.hyperparameters();
    if (options.step_tokens == 0) invalid("a step needs at least one token; stepTokens is 0");
    if (options.adapter_loaders == 0 || options.adapter_loaders > 64)
      invalid("the number of adapters loaded at once is " + std::to_string(options.adapter_loaders) + "; 1 to 64 make sense");
    if (options.max_sequences == 0) invalid("at least one sequence must be able to run; maxSequences is 0");

    // The file is hashed while it is packed; both read it once, one from the system's cache.
    std::future<Digest> hash = std::async(std::launch::async, [&file] { return file.hash(); });
    const KvType kv_type = options.precision == Precision::int8 ? KvType::f16 : KvType::f32;
    arena_ = std::make_unique<KvArena>(kv_type, h.layers, h.kv_heads, h.head_dim, options.kv_bytes,
                                        options.lend_memory ? options.adapter_bytes : 0);
    // A sequence that runs alone must fit into the pages, or it could never end.
    size_t max_context = options.max_context == 0 ? h.context : std::min(options.max_context, h.context);
    max_context = std::min<size_t>(max_context, size_t{arena_->share_pages()} * kPageTokens);
    model_ = Model::load(context_, file, options.precision, options.step_tokens, max_context);
    const size_t page_bytes = arena_->layout().page_bytes();
    memory_ = std::make_shared<MemoryBudget>(arena_->share_pages() * page_bytes, options.adapter_bytes, options.lend_memory);
    pages_ = std::make_unique<PageCache>(arena_->pages(), *memory_, page_bytes,
                                         [this](uint32_t page) { arena_->discard(page); });
    AdapterBase base = model_->adapter_base();
    base.hash = hash.get();
    info_.base_hash = base.hash;
    adapters_ = std::make_unique<AdapterStore>(
        std::move(base),
        AdapterStoreOptions{options.adapter_bytes, memory_, options.adapter_loaders, options.packed_dir, options.packed_bytes},
        [this] { wake(true); });
    // Every running sequence must have its token in every step.
    const size_t max_sequences = std::min(options.max_sequences, options.step_tokens);
    scheduler_ = std::make_unique<Scheduler>(
        SchedulerLimits{options.step_tokens, max_sequences, max_context, options.prefix_cache, options.speculate}, *pages_,
        *adapters_);
    hidden_.resize(options.step_tokens * h.hidden);
    logits_.resize(std::min(options.step_tokens, kHeadRows) * h.vocabulary);
    sampler_scratch_.resize(pool_.threads());

    info_ = {context_.isa,      options.precision,      pool_.threads(),  info_.base_hash, h,
             max_context,       model_->weight_bytes(), arena_->share_pages() * page_bytes, arena_->share_pages(), kPageTokens,
             options.adapter_bytes};
    loop_ = std::thread([this] { loop(); });
  }

  ~EngineImpl() override {
    {
      std::lock_guard lock(mutex_);
      stop_ = true;
    }
    work_.notify_all();
    loop_.join();
  }

  const EngineInfo& info() const override { return info_; }
  AdapterStore& adapters() override { return *adapters_; }

  EngineStats stats() const override {
    EngineStats out;
    {
      std::lock_guard lock(mutex_);
      out = stats_;
      out.waiting += inbox_.size();
    }
    out.adapters = adapters_->totals();
    return out;
  }

  uint32_t submit(SequenceRequest request) override {
    check(request);
    if (!request.mask.empty()) check_mask(request.mask);
    auto sequence = std::make_unique<Sequence>();
    sequence->prompt_tokens = request.prompt.size();
    sequence->tokens = request.prompt;
    const Digest* adapter_hash = nullptr;
    std::shared_ptr<const AdapterSpec> spec;
    if (request.adapter != 0) {
      spec = adapters_->retain(request.adapter);
      if (!spec) throw Error(ErrorCode::not_found, "the adapter is not loaded (any more); load it again");
      adapter_hash = &spec->content_hash;
    }
    sequence->prefix_root = prefix_root(info_.base_hash, adapter_hash, request.cache_salt);
    if (request.sampling.repetition_penalty != 1)
      for (const int32_t token : request.prompt) ++sequence->history.prompt[token];
    sequence->mask = std::move(request.mask);
    sequence->mask_position = sequence->prompt_tokens;
    sequence->request = std::move(request);
    sequence->submitted = std::chrono::steady_clock::now();
    std::lock_guard lock(mutex_);
    const uint32_t id = next_id_++;
    sequence->id = id;
    inbox_.push_back(std::move(sequence));
    work_.notify_one();
    return id;
  }

  void cancel(uint32_t id) override {
    std::lock_guard lock(mutex_);
    cancelled_.push_back(id);
    work_.notify_one();
  }

  void set_mask(uint32_t id, size_t position, MaskWords mask) override {
    check_mask(mask);
    std::lock_guard lock(mutex_);
    arrived_masks_.push_back({id, position, std::move(mask)});
    work_.notify_one();
  }

 private:
  static size_t thread_count(const EngineOptions& options) {
    if (options.threads > 1024) invalid("the number of threads is " + std::to_string(options.threads) + "; at most 1024 make sense");
    return options.threads == 0 ? std::max(1u, std::thread::hardware_concurrency()) : options.threads;
  }
  static Isa chosen_isa(const EngineOptions& options) {
    const Isa isa = options.isa.value_or(best_isa());
    if (!isa_supported(isa))
      throw Error(ErrorCode::unsupported, "this CPU does not run " + std::string(to_string(isa)) +
                                              " (COLOPHON_ISA); the best it runs is " + std::string(to_string(best_isa())));
    return isa;
  }

  void check(const SequenceRequest& r) const {
    const size_t vocabulary = info_.hyperparameters.vocabulary;
    if (r.prompt.empty()) invalid("the prompt is empty; at least one token is needed");
    if (r.pool != Pool::none) {
      if (r.prompt.size() > info_.max_context)
        invalid("the prompt has " + std::to_string(r.prompt.size()) + " tokens, but the longest sequence is " +
                std::to_string(info_.max_context) + " tokens");
      if (!r.mask.empty() || r.prompt_logprobs >= 0) invalid("a pooled sequence draws no token: it has neither mask nor log-probabilities");
    } else if (r.prompt.size() + 1 > info_.max_context)
      invalid("the prompt has " + std::to_string(r.prompt.size()) + " tokens, but the longest sequence is " +
              std::to_string(info_.max_context) + " tokens, at least one of them generated");
    const auto check_token = [&](int64_t token, const char* what) {
      if (token < 0 || static_cast<size_t>(token) >= vocabulary)
        invalid(std::string(what) + " has the token id " + std::to_string(token) + ", outside the vocabulary of " +
                std::to_string(vocabulary));
    };
    for (const int32_t token : r.prompt) check_token(token, "the prompt");
    for (const int32_t token : r.stop_token_ids) check_token(token, "stop_token_ids");
    for (const auto& [token, bias] : r.sampling.logit_bias) {
      check_token(token, "logit_bias");
      if (!std::isfinite(bias)) invalid("logit_bias has a value that is not finite");
    }
    if (r.max_tokens == 0) invalid("max_tokens is 0; at least 1 is needed");
    const auto within = [](const char* name, double value, double low, double high) {
      if (!(value >= low && value <= high))
        invalid(std::string(name) + " is " + std::to_string(value) + ", outside " + std::to_string(low) + ".." + std::to_string(high));
    };
    within("temperature", r.sampling.temperature, 0, 100);
    within("top_p", r.sampling.top_p, 0, 1);
    within("min_p", r.sampling.min_p, 0, 1);
    within("repetition_penalty", r.sampling.repetition_penalty, 1e-6, 1e6);
    within("presence_penalty", r.sampling.presence_penalty, -1e6, 1e6);
    within("frequency_penalty", r.sampling.frequency_penalty, -1e6, 1e6);
    within("logprobs", r.logprobs, -1, 20);
    within("prompt_logprobs", r.prompt_logprobs, -1, 20);
  }

  /// Bits past the vocabulary allow nothing.
  void check_mask(MaskWords& mask) const {
    const size_t vocabulary = info_.hyperparameters.vocabulary;
    if (mask.size() != mask_words(vocabulary))
      invalid("the mask has " + std::to_string(mask.size()) + " words, but a vocabulary of " + std::to_string(vocabulary) +
              " tokens needs " + std::to_string(mask_words(vocabulary)));
    if (vocabulary % 32 != 0) mask.back() &= (uint32_t{1} << vocabulary % 32) - 1;
  }

  /// Wakes the loop; `adapters`: because a load ended.
  void wake(bool adapters) {
    std::lock_guard lock(mutex_);
    adapters_changed_ = adapters_changed_ || adapters;
    work_.notify_one();
  }

  // The loop: schedule, run, settle. Everything below runs on its thread.

  void loop() {
    keep_preempting();
    bool blocked = true;  // nothing can run until something arrives
    for (;;) {
      StepResult result;
      std::vector<uint32_t> cancelled;
      bool adapters_changed;
      {
        std::unique_lock lock(mutex_);
        if (blocked)
          work_.wait(lock, [&] {
            return stop_ || adapters_changed_ || !inbox_.empty() || !cancelled_.empty() || !arrived_masks_.empty();
          });
        if (stop_) return;
        adapters_changed = std::exchange(adapters_changed_, false);
        for (auto& sequence : inbox_) scheduler_->add(std::move(sequence));
        inbox_.clear();
        cancelled.swap(cancelled_);
      }
      if (adapters_changed) result.warnings = adapters_->take_warnings();
      if (const size_t owed = memory_->pages_owe(); owed > 0) {
        pages_->give_back(owed);
        adapters_->room_made();
      }
      take_masks();
      for (const uint32_t id : cancelled) {
        if (std::unique_ptr<Sequence> sequence = scheduler_->remove(id))
          end(*sequence, FinishReason::cancelled, result);
      }

      std::vector<std::unique_ptr<Sequence>> failed;
      const std::vector<ScheduledRun> plan = scheduler_->plan(failed);
      for (const auto& sequence : failed) {
        const Error error = adapters_->error(sequence->request.adapter);
        result.errors.push_back({sequence->id, error.code(), error.what()});
        end(*sequence, FinishReason::error, result);
      }
      if (!plan.empty()) {
        memory_->pages_wait_no_more();
        const auto start = std::chrono::steady_clock::now();
        for (const ScheduledRun& run : plan)
          if (run.sequence->queue_seconds < 0)
            run.sequence->queue_seconds = std::chrono::duration<float>(start - run.sequence->submitted).count();
        run(plan);
        settle(plan, result);
        step_seconds_ += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
        ++steps_;
      }
      blocked = plan.empty();
      record_stats();
      if (!result.entries.empty() || !result.warnings.empty()) listener_(std::move(result));
    }
  }

  /// Hands the masks that have come to their sequences.
  void take_masks() {
    std::vector<ArrivedMask> masks;
    {
      std::lock_guard lock(mutex_);
      masks.swap(arrived_masks_);
    }
    for (ArrivedMask& arrived : masks) {
      Sequence* const sequence = scheduler_->find(arrived.sequence);
      if (!sequence || !sequence->constrained()) continue;
      sequence->mask = std::move(arrived.mask);
      sequence->mask_position = arrived.position;
    }
  }

  /// The batch of a plan, through the model: keys and values into pages, hidden states of the rows that sample into hidden_,
  /// then those of the rows that are pooled.
  void run(const std::vector<ScheduledRun>& plan) {
    batch_.clear();
    pooled_rows_.clear();
    for (const auto& [sequence, rows] : plan) {
      const size_t first = sequence->computed, first_row = batch_.tokens.size();
      batch_.runs.push_back({first_row, rows, first, sequence->pages.data(), sequence->adapter});
      for (size_t i = 0; i < rows; ++i) {
        const size_t position = first + i;
        batch_.tokens.push_back(sequence->token_at(position));
        batch_.positions.push_back(static_cast<uint32_t>(position));
        if (wants_head(*sequence, position)) batch_.head_rows.push_back(static_cast<uint32_t>(first_row + i));
        if (sequence->pools_at(position)) pooled_rows_.push_back(static_cast<uint32_t>(first_row + i));
      }
    }
    batch_.head_rows.insert(batch_.head_rows.end(), pooled_rows_.begin(), pooled_rows_.end());
    model_->forward(context_, arena_->layout(), batch_, hidden_.data());
  }

  /// Whether the logits at `position` are needed: the last token and those of its draft draw the next, and prompt
  /// log-probabilities look back.
  static bool wants_head(const Sequence& sequence, size_t position) {
    if (sequence.pools()) return false;
    if (position + 1 >= sequence.tokens.size()) return true;
    return sequence.wants_prompt_logprobs() && position + 1 < sequence.prompt_tokens &&
           position + 1 >= sequence.prompt_logprobs_sent;
  }

  /// A row of logits and what it is for.
  struct HeadRow {
    Sequence* sequence;
    size_t position;   ///< of the token that was computed
    int32_t token;     ///< drawn, or the prompt's next
    bool draws;
    TokenLogprobs logprobs;
    bool has_logprobs;
    bool missed;  ///< its mask has not come: the row is computed again
    bool stuck;   ///< its mask allows no token
  };

  void settle(const std::vector<ScheduledRun>& plan, StepResult& result) {
    head_rows_.clear();
    for (const auto& [sequence, rows] : plan)
      for (size_t position = sequence->computed; position < sequence->computed + rows; ++position)
        if (wants_head(*sequence, position))
          head_rows_.push_back({sequence, position, -1, position + 1 >= sequence->tokens.size(), {}, false, false, false});

    const size_t hidden = info_.hyperparameters.hidden, vocabulary = info_.hyperparameters.vocabulary;
    pool(plan, hidden_.data() + head_rows_.size() * hidden);
    const size_t piece = logits_.size() / vocabulary;
    for (size_t first = 0; first < head_rows_.size(); first += piece) {
      const size_t rows = std::min(piece, head_rows_.size() - first);
      model_->head(context_, hidden_.data() + first * hidden, rows, logits_.data());
      take_masks();  // as late as can be
      pool_.parallel_for(rows, [&](size_t i, size_t worker) {
        choose(head_rows_[first + i], logits_.data() + i * vocabulary, sampler_scratch_[worker]);
      });
    }

    for (const auto& run : plan) run.sequence->mask_missed = false;
    for (const HeadRow& row : head_rows_)
      if (row.missed) row.sequence->mask_missed = true;
    for (const auto& [sequence, planned] : plan) {
      const size_t rows = planned - (sequence->mask_missed ? 1 : 0);
      prompt_tokens_ += std::min(rows, sequence->prompt_tokens > sequence->computed ? sequence->prompt_tokens - sequence->computed : 0);
      sequence->computed += rows;
      const size_t drafted = sequence->draft.size();
      if (drafted > 0) {
        const size_t accepted = accepted_of(*sequence);
        sequence->computed -= drafted - accepted;  // what was supposed wrongly is computed again
        sequence->lookup.settle(drafted, accepted);
        drafted_tokens_ += drafted;
        accepted_tokens_ += accepted;
      }
      scheduler_->computed(*sequence);
    }
    const Sequence* settled = nullptr;  // its further rows followed a wrong guess, or its end
    for (size_t i = 0; i < head_rows_.size(); ++i) {
      HeadRow& row = head_rows_[i];
      if (row.sequence == settled || row.missed) continue;
      if (!deliver(row, hidden_.data() + i * hidden, result)) settled = row.sequence;
    }
    for (Sequence* const sequence : pooling_) deliver_pooled(*sequence, result);
  }

  /// Adds the step's hidden states to what their sequences pool, each sum in the order of its tokens: so its bits depend
  /// neither on the batch nor on how the prompt was cut into chunks.
  void pool(const std::vector<ScheduledRun>& plan, const float* state) {
    const size_t hidden = info_.hyperparameters.hidden;
    pooling_.clear();
    for (const auto& [sequence, rows] : plan) {
      if (!sequence->pools()) continue;
      pooling_.push_back(sequence);
      for (size_t position = sequence->computed; position < sequence->computed + rows; ++position) {
        if (!sequence->pools_at(position)) continue;
        add(*sequence, state);
        sequence->pooled_tokens = position + 1;
        state += hidden;
      }
    }
  }

  void add(Sequence& sequence, const float* state) const {
    const size_t hidden = info_.hyperparameters.hidden;
    sequence.pooled.resize(hidden);
    for (size_t i = 0; i < hidden; ++i) sequence.pooled[i] += state[i];
  }

  /// Gives the sum of `count` states as their mean.
  static void give_mean(Sequence& sequence, size_t count, StepResult& result) {
    for (float& value : sequence.pooled) value /= static_cast<float>(count);
    result.pooled.push_back({sequence.id, std::move(sequence.pooled)});
  }

  /// Ends a sequence whose whole prompt is pooled.
  void deliver_pooled(Sequence& sequence, StepResult& result) {
    if (sequence.pooled_tokens < sequence.prompt_tokens) return;
    cached_tokens_ += sequence.cached_tokens;
    result.entries.push_back({sequence.id, -1, static_cast<int32_t>(sequence.prompt_tokens), FinishReason::pooled,
                              static_cast<int32_t>(sequence.cached_tokens), false, {}, sequence.queue_seconds});
    give_mean(sequence, sequence.request.pool == Pool::mean ? sequence.prompt_tokens : 1, result);
    const std::unique_ptr<Sequence> done = scheduler_->remove(sequence.id);
    if (done->request.adapter != 0) adapters_->forget(done->request.adapter);
  }

  /// How many of a sequence's drafted tokens are those that its rows drew.
  size_t accepted_of(const Sequence& sequence) const {
    size_t accepted = 0;
    for (const HeadRow& row : head_rows_) {
      if (row.sequence != &sequence || !row.draws) continue;
      if (accepted == sequence.draft.size() || row.token != sequence.draft[accepted]) break;
      ++accepted;
    }
    return accepted;
  }

  /// Draws (or looks up) one row's token. Runs on any worker.
  void choose(HeadRow& row, float* logits, SamplerScratch& scratch) {
    const Sequence& sequence = *row.sequence;
    const SequenceRequest& request = sequence.request;
    const size_t vocabulary = info_.hyperparameters.vocabulary;
    if (!row.draws) {
      row.token = sequence.tokens[row.position + 1];
      row.logprobs = token_logprobs(context_, logits, vocabulary, row.token, static_cast<size_t>(request.prompt_logprobs));
      row.has_logprobs = true;
      return;
    }
    row.missed = !sequence.has_mask();
    row.stuck = !row.missed && sequence.constrained() && !allows_beyond(sequence.mask, {});
    if (row.missed || row.stuck) return;
    const size_t generated = row.position + 1 - sequence.prompt_tokens;
    const bool forbid_stop = generated < request.min_tokens &&
                             (!sequence.constrained() || allows_beyond(sequence.mask, request.stop_token_ids));
    const std::span<const int32_t> forbidden =
        forbid_stop ? std::span<const int32_t>(request.stop_token_ids) : std::span<const int32_t>();
    row.has_logprobs = request.logprobs >= 0;
    if (!row.has_logprobs) {
      row.token = sample(context_, request.sampling, sequence.history, forbidden, sequence.mask, generated, logits, vocabulary,
                         scratch);
      return;
    }
    // Reported log-probabilities are the model's own; sampling changes the logits, so it works on a copy.
    scratch.logits.assign(logits, logits + vocabulary);
    row.token = sample(context_, request.sampling, sequence.history, forbidden, sequence.mask, generated, scratch.logits.data(),
                       vocabulary, scratch);
    row.logprobs = token_logprobs(context_, logits, vocabulary, row.token, static_cast<size_t>(request.logprobs));
  }

  /// Gives a row's token out, drawn from `state`. Returns whether the sequence's next row, if it has one, still stands on what is true.
  bool deliver(HeadRow& row, const float* state, StepResult& result) {
    Sequence& sequence = *row.sequence;
    if (row.stuck) {
      result.errors.push_back({sequence.id, ErrorCode::internal,
                               "the mask of position " + std::to_string(row.position + 1) + " allows no token"});
      end(*scheduler_->remove(sequence.id), FinishReason::error, result);
      return false;
    }
    StepEntry entry{sequence.id, row.token, static_cast<int32_t>(row.position + 1), FinishReason::none, 0, row.has_logprobs,
                    std::move(row.logprobs)};
    if (!row.draws) {
      sequence.prompt_logprobs_sent = row.position + 2;
      result.entries.push_back(std::move(entry));
      return true;
    }
    const SequenceRequest& request = sequence.request;
    if (sequence.generated() == 0) {
      entry.queue_seconds = sequence.queue_seconds;
      entry.cached_tokens = static_cast<int32_t>(sequence.cached_tokens);
      cached_tokens_ += sequence.cached_tokens;
    }
    const bool as_drafted = sequence.is_drafted(row.position + 1) && row.token == sequence.token_at(row.position + 1);
    sequence.tokens.push_back(row.token);
    ++generated_tokens_;
    if (request.answer_states) {
      const size_t hidden = info_.hyperparameters.hidden;
      entry.state = static_cast<int32_t>(result.states.size() / hidden);
      result.states.insert(result.states.end(), state, state + hidden);
    }
    if (const TraceIndex* const trace = sequence.adapter ? sequence.adapter->trace() : nullptr) {
      sequence.match = trace->followed(sequence.match, static_cast<uint32_t>(row.token));
      entry.match = sequence.match;
    }
    const SamplingOptions& sampling = request.sampling;
    if (sampling.repetition_penalty != 1 || sampling.presence_penalty != 0 || sampling.frequency_penalty != 0)
      ++sequence.history.generated[row.token];
    if (std::find(request.stop_token_ids.begin(), request.stop_token_ids.end(), row.token) != request.stop_token_ids.end())
      entry.finish = FinishReason::stop;
    else if (sequence.generated() >= request.max_tokens || sequence.tokens.size() >= info_.max_context)
      entry.finish = FinishReason::length;
    const bool finished = entry.finish != FinishReason::none;
    const uint32_t id = sequence.id;
    result.entries.push_back(std::move(entry));
    if (finished) {
      const std::unique_ptr<Sequence> done = scheduler_->remove(id);
      if (done->request.adapter != 0) adapters_->forget(done->request.adapter);
    }
    return as_drafted && !finished;
  }

  /// A sequence that ends without a token; it has left the scheduler.
  void end(Sequence& sequence, FinishReason reason, StepResult& result) {
    if (sequence.request.adapter != 0) adapters_->forget(sequence.request.adapter);
    result.entries.push_back({sequence.id, -1, static_cast<int32_t>(sequence.tokens.size()), reason, 0, false, {}});
  }

  void record_stats() {
    std::lock_guard lock(mutex_);
    stats_.waiting = scheduler_->waiting();
    stats_.waiting_for_adapter = scheduler_->waiting_for_adapter();
    stats_.running = scheduler_->running();
    stats_.pages_total = pages_->total();
    stats_.pages_used = pages_->used();
    stats_.pages_cached = pages_->idle();
    stats_.steps = steps_;
    stats_.prompt_tokens = prompt_tokens_;
    stats_.cached_tokens = cached_tokens_;
    stats_.generated_tokens = generated_tokens_;
    stats_.preemptions = scheduler_->preemptions();
    stats_.drafted_tokens = drafted_tokens_;
    stats_.accepted_tokens = accepted_tokens_;
    stats_.step_seconds = step_seconds_;
  }

  const Listener listener_;
  ThreadPool pool_;
  OpContext context_;
  EngineInfo info_{};
  std::unique_ptr<KvArena> arena_;
  std::shared_ptr<MemoryBudget> memory_;
  std::unique_ptr<Model> model_;
  std::unique_ptr<PageCache> pages_;
  std::unique_ptr<Scheduler> scheduler_;

  // Scratch and counters of the loop thread.
  Batch batch_;
  std::vector<float> hidden_;  ///< [step_tokens][hidden]
  std::vector<float> logits_;  ///< [<= kHeadRows][vocabulary]
  std::vector<HeadRow> head_rows_;
  std::vector<uint32_t> pooled_rows_;  ///< of the batch
  std::vector<Sequence*> pooling_;     ///< of the step, those with a Pool
  std::vector<SamplerScratch> sampler_scratch_;  ///< one a worker
  uint64_t steps_ = 0, prompt_tokens_ = 0, cached_tokens_ = 0, generated_tokens_ = 0, drafted_tokens_ = 0, accepted_tokens_ = 0;
  double step_seconds_ = 0;

  struct ArrivedMask {
    uint32_t sequence;
    size_t position;
    MaskWords mask;
  };

  // Shared with callers.
  mutable std::mutex mutex_;
  std::condition_variable work_;
  std::deque<std::unique_ptr<Sequence>> inbox_;
  std::vector<uint32_t> cancelled_;
  std::vector<ArrivedMask> arrived_masks_;
  EngineStats stats_;
  uint32_t next_id_ = 1;
  bool adapters_changed_ = false;
  bool stop_ = false;

  // Last, so that its thread ends before what its callback touches.
  std::unique_ptr<AdapterStore> adapters_;
  std::thread loop_;
};

}  // namespace

std::unique_ptr<Engine> Engine::create(const EngineOptions& options, Listener listener) {
  return std::make_unique<EngineImpl>(options, std::move(listener));
}

}  // namespace colophon
