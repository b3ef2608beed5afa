#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <thread>
#include <type_traits>
#include <vector>

namespace colophon {

/// A persistent pool: the calling thread is worker 0 and `threads - 1` more are kept. Tasks of one
/// parallel_for are handed out by an atomic counter; a worker that the system gives no core in time is not
/// waited for, the others do its share. No result may depend on which worker runs which task (promise 1), so
/// ops write disjoint outputs.
class ThreadPool {
 public:
  explicit ThreadPool(size_t threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  size_t threads() const { return workers_.size() + 1; }

  /// Runs `body(task, worker)` for every task in [0, tasks) and returns when all are done. `worker` is in
  /// [0, threads()) and names scratch that no other running task uses. Not reentrant; `body` must not throw.
  template <typename Body>
  void parallel_for(size_t tasks, const Body& body) {
    run(
        tasks,
        [](const void* b, size_t task, size_t worker) { (*static_cast<const Body*>(b))(task, worker); },
        &body);
  }

 private:
  using Invoke = void (*)(const void* body, size_t task, size_t worker);
  void run(size_t tasks, Invoke invoke, const void* body);
  void work(size_t worker);
  void drain(size_t worker);

  std::vector<std::thread> workers_;
  // The current parallel region; written by the caller only while no worker has joined.
  Invoke invoke_ = nullptr;
  const void* body_ = nullptr;
  size_t tasks_ = 0;
  alignas(64) std::atomic<size_t> next_{0};
  // The region's number, whether it is open for joining, and how many workers have joined it
  // (thread_pool.cc).
  alignas(64) std::atomic<uint64_t> state_{0};
  std::atomic<bool> stop_{false};
  std::atomic<size_t> sleepers_{0};
  std::mutex mutex_;
  std::condition_variable wake_;
};

}  // namespace colophon
