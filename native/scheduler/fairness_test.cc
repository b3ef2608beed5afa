#include "scheduler/fairness.h"

#include "testing/test.h"

using namespace colophon;

TEST(counters_lift_who_comes_to_the_least_of_those_present) {
  Counters<std::string, Served> counters;
  counters.enter("a");
  counters.enter("b");
  counters.serve("a", 50);
  counters.serve("b", 30);
  CHECK_EQ(counters.enter("c").cost, 30u);
  // Having been idle gives no credit...
  counters.leave("c");
  counters.serve("b", 40);
  CHECK_EQ(counters.enter("c").cost, 50u);
  // ...and leaving pays no debt.
  counters.serve("c", 100);
  counters.leave("c");
  CHECK_EQ(counters.enter("c").cost, 150u);
}

TEST(counters_forget_who_is_absent_and_owes_nothing) {
  Counters<uint32_t, Served> counters;
  counters.enter(1);
  counters.enter(2);
  counters.serve(2, 10);
  counters.leave(2);
  CHECK_EQ(counters.size(), 2u);  // 2 is ahead of the floor
  counters.serve(1, 10);
  counters.enter(3);
  CHECK_EQ(counters.size(), 2u);
  CHECK_EQ(counters.present(), 2u);
  for (uint32_t key = 10; key < 10000; ++key) {
    counters.enter(key);
    counters.serve(key, 1000 + key);
    counters.leave(key);
  }
  CHECK((counters.size() <= 2 + Counters<uint32_t, Served>::kKept));
  counters.leave(1);
  counters.leave(3);
  CHECK_EQ(counters.size(), 0u);
}
