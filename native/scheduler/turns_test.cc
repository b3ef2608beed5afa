#include "scheduler/turns.h"

#include <memory>

#include "testing/test.h"

using namespace colophon;

namespace {

/// Sequences that only stand in line.
class Line {
 public:
  Sequence* add(const std::string& tenant, uint32_t adapter, int32_t priority = 0, bool begun = false) {
    Sequence& sequence = *all_.emplace_back(std::make_unique<Sequence>());
    sequence.request.tenant = tenant;
    sequence.request.adapter = adapter;
    sequence.request.priority = priority;
    sequence.running = begun;
    sequence.arrival = sequence.id = static_cast<uint32_t>(all_.size());
    sequence.tenant = &tenants.enter(tenant);
    sequence.adapter_served = &sequence.tenant->adapters.enter(adapter);
    return &sequence;
  }
  void serve(const Sequence& sequence, uint64_t cost) {
    tenants.serve(sequence.request.tenant, cost);
    sequence.tenant->adapters.serve(sequence.request.adapter, cost);
  }
  /// Ids in order; each turn costs `cost`.
  std::vector<uint32_t> order(uint64_t cost, Sequence* first = nullptr) {
    std::vector<Sequence*> sequences;
    for (auto sequence = all_.rbegin(); sequence != all_.rend(); ++sequence) sequences.push_back(sequence->get());
    Turns turns(sequences, first);
    std::vector<uint32_t> out;
    while (Sequence* const sequence = turns.next()) {
      out.push_back(sequence->id);
      serve(*sequence, cost);
    }
    return out;
  }
  Tenants tenants;

 private:
  std::vector<std::unique_ptr<Sequence>> all_;
};

std::string text(const std::vector<uint32_t>& ids) {
  std::string out;
  for (const uint32_t id : ids) out += std::to_string(id) + " ";
  return out;
}

}  // namespace

TEST(turns_go_by_arrival_within_an_adapter) {
  Line line;
  for (int i = 0; i < 5; ++i) line.add("a", 3);
  CHECK_EQ(text(line.order(7)), "1 2 3 4 5 ");
}

TEST(turns_alternate_between_tenants_and_within_them_between_adapters) {
  Line line;
  for (int i = 0; i < 4; ++i) line.add("a", 1);
  line.add("a", 2);
  line.add("b", 1);
  line.add("b", 1);
  CHECK_EQ(text(line.order(10)), "1 6 5 7 2 3 4 ");
}

TEST(turns_of_a_class_come_before_the_next_class) {
  Line line;
  line.add("a", 0, 1);
  line.add("a", 0, -1);
  line.add("b", 0, 0);
  line.add("b", 0, -1);
  CHECK_EQ(text(line.order(1)), "2 4 3 1 ");
}

TEST(turns_of_begun_prompts_come_before_the_tenants_others) {
  Line line;
  line.add("a", 1);
  Sequence* const begun = line.add("a", 2, 0, true);
  line.add("b", 1);
  line.serve(*begun, 5);
  CHECK_EQ(text(line.order(10)), "3 2 1 ");
}

TEST(turns_may_begin_with_any) {
  Line line;
  line.add("a", 1);
  line.add("a", 1);
  Sequence* const first = line.add("b", 1, 9);
  CHECK_EQ(text(line.order(1, first)), "3 1 2 ");
}
