#include "ops/thread_pool.h"

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

}  // namespace

ThreadPool::ThreadPool(size_t threads) {
  for (size_t worker = 1; worker < threads; ++worker) workers_.emplace_back([this, worker] { work(worker); });
}

ThreadPool::~ThreadPool() {
  {
    std::lock_guard lock(mutex_);
    stop_.store(true);
    generation_.fetch_add(1);
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
  busy_.store(workers_.size(), std::memory_order_relaxed);
  generation_.fetch_add(1, std::memory_order_seq_cst);
  if (sleepers_.load(std::memory_order_seq_cst) > 0) {
    // Taking the lock orders this notification after a sleeper's own check of `generation_`.
    { std::lock_guard lock(mutex_); }
    wake_.notify_all();
  }
  drain(0);
  // Workers must have left the region before its body goes out of scope.
  for (int spins = 0; busy_.load(std::memory_order_acquire) != 0; ++spins) {
    if (spins < kSpins) pause_cpu();
    else std::this_thread::yield();
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
  uint64_t seen = 0;
  for (;;) {
    int spins = 0;
    while (generation_.load(std::memory_order_acquire) == seen) {
      if (++spins < kSpins) {
        pause_cpu();
        continue;
      }
      std::unique_lock lock(mutex_);
      sleepers_.fetch_add(1, std::memory_order_seq_cst);
      wake_.wait(lock, [&] { return generation_.load(std::memory_order_seq_cst) != seen; });
      sleepers_.fetch_sub(1, std::memory_order_relaxed);
      break;
    }
    ++seen;
    if (stop_.load()) return;
    drain(worker);
    busy_.fetch_sub(1, std::memory_order_acq_rel);
  }
}

}  // namespace colophon
