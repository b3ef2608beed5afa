#include "ops/preemption.h"

#if defined(__linux__)
#include <sched.h>

#include <thread>

#include "testing/test.h"

namespace colophon {

TEST(preemption_is_kept_by_the_threads_that_ask_for_it) {
  if (sched_getscheduler(0) != SCHED_OTHER) return;  // somebody runs this test under another policy, which stays
  bool refused = false;                              // by the system, as sandboxes do
  std::thread([&] {
    const sched_param none{};
    refused = sched_setscheduler(0, SCHED_BATCH, &none) != 0;
  }).join();
  if (refused) return;
  const auto policy_of_another = [](bool keep) {
    int policy = -1;
    std::thread([&] {
      if (keep) keep_preempting();
      policy = sched_getscheduler(0);
    }).join();
    return policy;
  };
  CHECK_EQ(policy_of_another(true), SCHED_OTHER);
  stop_preempting();
  CHECK_EQ(sched_getscheduler(0), SCHED_BATCH);
  CHECK_EQ(policy_of_another(false), SCHED_BATCH);
  CHECK_EQ(policy_of_another(true), SCHED_OTHER);
  keep_preempting();
  CHECK_EQ(sched_getscheduler(0), SCHED_OTHER);
}

}  // namespace colophon
#endif
