#include "ops/thread_pool.h"

#include "ops/preemption.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace colophon {
namespace {

inline void pause_cpu() {
#if defined(__x86_64__)
  _mm_pause();
#endif
}

// A worker spins this often for the next region before it sleeps: the gaps between the ops of one step are a
// few microseconds, a wake-up through the kernel costs tens. Past it the core belongs to others.
constexpr int kSpins = 4000;

// state_: joined workers in the low bits, then whether the region is open, then its number.
constexpr uint64_t kJoined = 0x7fff, kOpen = 0x8000;
constexpr int kRegionShift = 16;

}  // namespace

ThreadPool::ThreadPool(size_t threads) {
  for (size_t worker = 1; worker < threads; ++worker) workers_.emplace_back([this, worker] { work(worker); });
}

ThreadPool::~ThreadPool() {
  {
    std::lock_guard lock(mutex_);
    stop_.store(true);
    state_.fetch_add(uint64_t{1} << kRegionShift);
  }
  wake_.notify_all();
  for (auto& worker : workers_) worker.join();
}

void ThreadPool::run(size_t tasks, Invoke invoke, const void* body) {
  if (tasks == 0) return;
  if (workers_.empty() || tasks == 1) {
    for (size_t task = 0; task < tasks; ++task) invoke(body, task, 0);
    return;
  }
  invoke_ = invoke;
  body_ = body;
  tasks_ = tasks;
  next_.store(0, std::memory_order_relaxed);
  const uint64_t region = (state_.load(std::memory_order_relaxed) >> kRegionShift) + 1;
  state_.store(region << kRegionShift | kOpen, std::memory_order_seq_cst);
  if (sleepers_.load(std::memory_order_seq_cst) > 0) {
    // Taking the lock orders this notification after a sleeper's own check of `state_`.
    { std::lock_guard lock(mutex_); }
    wake_.notify_all();
  }
  drain(0);
  // All tasks are taken. Nobody joins any more, and those who did must leave before the body goes out of
  // scope.
  state_.fetch_and(~kOpen, std::memory_order_acq_rel);
  for (int spins = 0; (state_.load(std::memory_order_acquire) & kJoined) != 0; ++spins) {
    if (spins < kSpins)
      pause_cpu();
    else
      std::this_thread::yield();
  }
}

void ThreadPool::drain(size_t worker) {
  for (;;) {
    const size_t task = next_.fetch_add(1, std::memory_order_relaxed);
    if (task >= tasks_) return;
    invoke_(body_, task, worker);
  }
}

void ThreadPool::work(size_t worker) {
  keep_preempting();
  uint64_t seen = 0;
  for (;;) {
    uint64_t state = state_.load(std::memory_order_acquire);
    for (int spins = 0; state >> kRegionShift == seen; state = state_.load(std::memory_order_acquire)) {
      if (++spins < kSpins) {
        pause_cpu();
        continue;
      }
      std::unique_lock lock(mutex_);
      sleepers_.fetch_add(1, std::memory_order_seq_cst);
      wake_.wait(lock, [&] { return state_.load(std::memory_order_seq_cst) >> kRegionShift != seen; });
      sleepers_.fetch_sub(1, std::memory_order_relaxed);
    }
    if (stop_.load()) return;
    // Join, unless the others were done before this thread had a core.
    while ((state & kOpen) != 0 && !state_.compare_exchange_weak(state, state + 1, std::memory_order_acq_rel,
                                                                 std::memory_order_acquire)) {
    }
    seen = state >> kRegionShift;
    if ((state & kOpen) == 0) continue;
    drain(worker);
    state_.fetch_sub(1, std::memory_order_acq_rel);
    // Whoever waits for this core has it now, while nobody waits for this worker, and need not stop it in the middle of a task.
    std::this_thread::yield();
  }
}

}  // namespace colophon
