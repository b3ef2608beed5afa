#include "ops/thread_pool.h"

#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#include "testing/test.h"

namespace colophon {

TEST(thread_pool_runs_every_task_once) {
  for (size_t threads : {1, 2, 3, 8}) {
    ThreadPool pool(threads);
    CHECK_EQ(pool.threads(), threads);
    // Many short regions after one another: a worker may come late to any of them.
    for (size_t tasks = 0; tasks < 400; ++tasks) {
      std::vector<int> runs(tasks,
                            0);  // not atomic: the pool itself must order these writes before its return
      pool.parallel_for(tasks, [&](size_t task, size_t) { ++runs[task]; });
      for (int count : runs) CHECK_EQ(count, 1);
    }
  }
}

TEST(thread_pool_gives_each_running_task_a_worker_of_its_own) {
  ThreadPool pool(4);
  std::vector<std::atomic<int>> running(4);
  std::atomic<bool> shared{false}, outside{false};
  for (int region = 0; region < 200; ++region) {
    pool.parallel_for(16, [&](size_t, size_t worker) {
      if (worker >= running.size()) {
        outside = true;
        return;
      }
      if (running[worker].fetch_add(1) != 0) shared = true;
      running[worker].fetch_sub(1);
    });
  }
  CHECK(!outside);
  CHECK(!shared);
}

TEST(thread_pool_wakes_workers_that_went_to_sleep) {
  ThreadPool pool(3);
  for (int region = 0; region < 5; ++region) {
    std::this_thread::sleep_for(std::chrono::milliseconds(3));
    // Each of the three tasks waits for the other two, so that the region ends only if every worker takes
    // part.
    std::atomic<int> arrived{0};
    pool.parallel_for(3, [&](size_t, size_t) {
      arrived.fetch_add(1);
      while (arrived.load() < 3) std::this_thread::yield();
    });
    CHECK_EQ(arrived.load(), 3);
  }
}

TEST(thread_pool_ends_while_its_workers_spin_or_sleep) {
  for (int repeat = 0; repeat < 50; ++repeat) {
    ThreadPool pool(3);
    size_t sum = 0;
    if (repeat % 2 == 0) pool.parallel_for(1, [&](size_t, size_t) { ++sum; });
    if (repeat % 10 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(2));
    CHECK_EQ(sum, repeat % 2 == 0 ? 1u : 0u);
  }
}

}  // namespace colophon
