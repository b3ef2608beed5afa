#include "ops/preemption.h"

#if defined(__linux__)
#include <sched.h>

#include <atomic>
#include <charconv>
#include <filesystem>
#include <string>
#include <system_error>
#endif

namespace colophon {

#if defined(__linux__)
namespace {

// Whoever runs the process under SCHED_BATCH means all of its threads.
std::atomic<bool> stopped{false};

// A thread by its id; 0: the calling one.
void change(pid_t thread, int from, int to) {
  const sched_param none{};
  if (sched_getscheduler(thread) == from) sched_setscheduler(thread, to, &none);
}

}  // namespace

void stop_preempting() {
  if (sched_getscheduler(0) != SCHED_OTHER) return;
  stopped.store(true);
  std::error_code failed;
  for (std::filesystem::directory_iterator at("/proc/self/task", failed), end; !failed && at != end; at.increment(failed)) {
    const std::string name = at->path().filename();
    pid_t thread = 0;
    if (std::from_chars(name.data(), name.data() + name.size(), thread).ec == std::errc()) change(thread, SCHED_OTHER, SCHED_BATCH);
  }
}

void keep_preempting() {
  if (stopped.load()) change(0, SCHED_BATCH, SCHED_OTHER);
}
#else
void stop_preempting() {}
void keep_preempting() {}
#endif

}  // namespace colophon
