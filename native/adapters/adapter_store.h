#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "adapters/lora_adapter.h"
#include "engine/error.h"

namespace colophon {

enum class Residency { disk, loading, ram, failed };

struct AdapterState {
  Residency residency;
  size_t bytes;  ///< resident, or needed
  uint32_t uses;  ///< sequences that wait for it or run on it
  uint64_t loads, evictions;
  double load_seconds;
};

struct AdapterTotals {
  size_t registered, resident, bytes_used;
  uint64_t loads, evictions;
};

/// Registered adapters and which of them are in memory. A thread of its own loads them, so that a step never waits for
/// one (promise 3); resident ones stay within the byte budget (promise 4): the least recently used that no running
/// sequence holds makes room. Every method may be called from any thread.
class AdapterStore {
 public:
  /// `changed` is called (on the loading thread) whenever a load ended.
  AdapterStore(AdapterBase base, size_t budget_bytes, std::function<void()> changed);
  ~AdapterStore();

  /// Checks the file against the base and registers it. Throws Error(bad_adapter | not_found | resource_exhausted).
  uint32_t add(AdapterSpec spec);
  /// No new sequence; the memory goes when the last one that holds the handle forgets it. False where it is unknown.
  bool remove(uint32_t handle);

  /// A sequence takes the handle, waiting or running: a removed adapter lives on for it. Null where the handle is unknown
  /// or removed.
  std::shared_ptr<const AdapterSpec> retain(uint32_t handle);
  void forget(uint32_t handle);

  enum class Want { ready, pending, no_room, failed };
  /// Asks for residency. ready: acquire() will succeed now. no_room: its load waits until running sequences let go of
  /// another adapter. failed: the last load failed, error() says why; with `retry` it is tried again.
  Want want(uint32_t handle, bool retry);
  Error error(uint32_t handle) const;
  /// Calls `done` (null: resident; else why not) once, now or on the loading thread.
  using Done = std::function<void(const Error*)>;
  void load(uint32_t handle, Done done);
  /// A running sequence holds the weights so that they stay resident; null where they are not.
  const LoraAdapter* acquire(uint32_t handle);
  void release(uint32_t handle);

  AdapterState state(uint32_t handle) const;
  AdapterTotals totals() const;
  size_t budget_bytes() const { return budget_bytes_; }

 private:
  struct Entry {
    std::shared_ptr<const AdapterSpec> spec;
    size_t bytes = 0;
    Residency residency = Residency::disk;
    std::unique_ptr<LoraAdapter> adapter;
    uint32_t sequences = 0;  ///< retained
    uint32_t running = 0;    ///< acquired
    bool removed = false;
    uint64_t last_used = 0;
    uint64_t loads = 0, evictions = 0;
    double load_seconds = 0;
    ErrorCode error_code = ErrorCode::internal;
    std::string error;
    std::vector<Done> waiters;
  };
  void load_loop();
  bool make_room(size_t bytes, uint32_t keep);
  void drop_if_removed(uint32_t handle);

  const AdapterBase base_;
  const size_t budget_bytes_;
  const std::function<void()> changed_;

  mutable std::mutex mutex_;
  std::condition_variable work_;
  std::unordered_map<uint32_t, Entry> entries_;
  std::deque<uint32_t> queue_;  ///< asked for, in order
  size_t bytes_used_ = 0;       ///< resident and being loaded
  uint64_t clock_ = 0, loads_ = 0, evictions_ = 0;
  uint32_t next_handle_ = 1;
  uint32_t blocked_ = 0;  ///< first of the queue, where it waits for room
  bool stop_ = false;
  std::thread loader_;
};

}  // namespace colophon
