#include "scheduler/turns.h"

#include <algorithm>
#include <tuple>

namespace colophon {

Turns::Turns(std::vector<Sequence*> sequences, Sequence* first)
    : sequences_(std::move(sequences)), first_(first), first_due_(first != nullptr) {
  const auto order = [](const Sequence* s) {
    return std::tuple(s->request.priority, s->tenant, !s->running, s->running ? 0 : s->request.adapter, s->arrival);
  };
  std::sort(sequences_.begin(), sequences_.end(),
            [&](const Sequence* a, const Sequence* b) { return order(a) < order(b); });
}

Sequence* Turns::next() {
  if (first_due_) {
    first_due_ = false;
    return first_;
  }
  Sequence* sequence = take();
  if (sequence != nullptr && sequence == first_) sequence = take();
  return sequence;
}

/// The next in line, whether it had the first turn or not.
Sequence* Turns::take() {
  put_back();
  if (lines_.empty()) open_class();
  if (lines_.empty()) return nullptr;
  std::pop_heap(lines_.begin(), lines_.end(), [this](const Line& a, const Line& b) { return line_later(a, b); });
  const Line& line = lines_.back();
  std::pop_heap(&lanes_[line.first], &lanes_[line.first] + (line.end - line.first),
                [this](const Lane& a, const Lane& b) { return lane_later(a, b); });
  taken_ = true;
  return sequences_[lanes_[line.end - 1].next++];
}

/// What is left of the line that had the last turn gets in line again, as its counters are now.
void Turns::put_back() {
  if (!taken_) return;
  taken_ = false;
  Line& line = lines_.back();
  const Lane& lane = lanes_[line.end - 1];
  if (lane.next == lane.end)
    --line.end;
  else
    std::push_heap(&lanes_[line.first], &lanes_[line.first] + (line.end - line.first),
                   [this](const Lane& a, const Lane& b) { return lane_later(a, b); });
  if (line.first == line.end)
    lines_.pop_back();
  else
    std::push_heap(lines_.begin(), lines_.end(), [this](const Line& a, const Line& b) { return line_later(a, b); });
}

/// Puts the next class in line.
void Turns::open_class() {
  lanes_.clear();
  const size_t first = opened_;
  for (; opened_ < sequences_.size(); ++opened_) {
    const Sequence& sequence = *sequences_[opened_];
    const bool first_of_class = opened_ == first;
    const Sequence& before = *sequences_[first_of_class ? first : opened_ - 1];
    if (sequence.request.priority != before.request.priority) break;
    const bool new_line = first_of_class || sequence.tenant != before.tenant;
    if (new_line) lines_.push_back({lanes_.size(), lanes_.size()});
    if (new_line || sequence.running != before.running ||
        (!sequence.running && sequence.request.adapter != before.request.adapter)) {
      lanes_.push_back({opened_, opened_, sequence.running});
      ++lines_.back().end;
    }
    ++lanes_.back().end;
  }
  for (const Line& line : lines_)
    std::make_heap(&lanes_[line.first], &lanes_[line.first] + (line.end - line.first),
                   [this](const Lane& a, const Lane& b) { return lane_later(a, b); });
  std::make_heap(lines_.begin(), lines_.end(), [this](const Line& a, const Line& b) { return line_later(a, b); });
}

bool Turns::lane_later(const Lane& a, const Lane& b) const {
  const auto order = [this](const Lane& lane) {
    const Sequence& sequence = head(lane);
    return std::tuple(!lane.begun, sequence.adapter_served->cost, sequence.arrival);
  };
  return order(b) < order(a);
}

bool Turns::line_later(const Line& a, const Line& b) const {
  const auto order = [this](const Line& line) {
    const Sequence& sequence = head(line);
    return std::tuple(sequence.tenant->cost, sequence.tenant->running, sequence.arrival);
  };
  return order(b) < order(a);
}

}  // namespace colophon
