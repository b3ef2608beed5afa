#include "cache/memory_budget.h"

#include "testing/test.h"

using namespace colophon;

TEST(memory_budget_lends_what_is_unused_and_gets_shares_back) {
  MemoryBudget budget(100, 50, true);
  CHECK(budget.take_for_pages(140));
  CHECK_EQ(budget.within_reach_of_pages(), 150u);
  CHECK(!budget.take_for_pages(20));  // beyond its share: nobody owes it that
  CHECK_EQ(budget.adapters_owe(), 0u);
  CHECK(budget.take_for_adapters(10));
  CHECK(!budget.take_for_adapters(30));  // within its share
  CHECK_EQ(budget.pages_owe(), 30u);
  budget.give_from_pages(20);
  CHECK_EQ(budget.pages_owe(), 10u);
  CHECK(!budget.take_for_pages(5));  // not while the adapters wait
  budget.give_from_pages(10);
  CHECK_EQ(budget.pages_owe(), 0u);
  CHECK(budget.take_for_adapters(30));
  CHECK_EQ(budget.within_reach_of_pages(), 110u);

  budget.give_from_pages(110);
  CHECK(budget.take_for_adapters(100));
  CHECK(!budget.take_for_pages(20));
  CHECK_EQ(budget.adapters_owe(), 10u + 0u);
  budget.pages_wait_no_more();
  CHECK_EQ(budget.adapters_owe(), 0u);
  CHECK(budget.take_for_adapters(10));
}

TEST(memory_budget_never_owes_more_than_was_lent) {
  MemoryBudget budget(100, 50, true);
  CHECK(budget.take_for_pages(100));
  CHECK(budget.take_for_adapters(40));
  CHECK(!budget.take_for_adapters(20));  // its own share is full
  CHECK_EQ(budget.pages_owe(), 0u);
  CHECK(!budget.take_for_pages(20));
  CHECK_EQ(budget.adapters_owe(), 0u);
}

TEST(memory_budget_keeps_apart_what_does_not_lend) {
  MemoryBudget budget(100, 50, false);
  CHECK(!budget.take_for_pages(101));
  CHECK(budget.take_for_pages(100));
  CHECK(!budget.take_for_adapters(51));
  CHECK(budget.take_for_adapters(50));
  CHECK_EQ(budget.pages_owe(), 0u);
  CHECK_EQ(budget.adapters_owe(), 0u);
  CHECK_EQ(budget.within_reach_of_pages(), 100u);
}
