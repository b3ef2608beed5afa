#pragma once

#include <cstddef>
#include <vector>

#include "scheduler/sequence.h"

namespace colophon {

/// In which order sequences get the rows of a step: by priority class; within a class the tenant that was served least (of
/// equals the one with fewest places); of a tenant, the prompts that were begun, then by the adapter that was served least;
/// then in order of arrival. Counters are read when a turn is given, so that what one turn cost counts in the next.
class Turns {
 public:
  /// `first` (may be null) has the first turn, whatever its class and tenant.
  Turns(std::vector<Sequence*> sequences, Sequence* first);

  /// Null: all had their turn.
  Sequence* next();

 private:
  /// Sequences of one tenant and adapter in line: sequences_[next .. end), not empty. Prompts that were begun are one lane.
  struct Lane {
    size_t next, end;
    bool begun;
  };
  /// A tenant's lanes within the class that has its turn: lanes_[first .. end), a heap, not empty.
  struct Line {
    size_t first, end;
  };
  const Sequence& head(const Lane& lane) const { return *sequences_[lane.next]; }
  const Sequence& head(const Line& line) const { return head(lanes_[line.first]); }
  bool lane_later(const Lane& a, const Lane& b) const;
  bool line_later(const Line& a, const Line& b) const;
  void open_class();
  Sequence* take();
  void put_back();

  std::vector<Sequence*> sequences_;  ///< by class, tenant, begun or not, adapter, arrival
  Sequence* const first_;
  bool first_due_;
  size_t opened_ = 0;  ///< sequences_[0 .. opened_) are of the class that has its turn or of those before
  std::vector<Lane> lanes_;
  std::vector<Line> lines_;  ///< a heap; while taken_, but for its last
  bool taken_ = false;       ///< the last turn was one of lines_.back(), of that line's last lane
};

}  // namespace colophon
