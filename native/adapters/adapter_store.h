#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "adapters/lora_adapter.h"
#include "adapters/packed_folder.h"
#include "cache/memory_budget.h"
#include "engine/error.h"

namespace colophon {

enum class Residency { disk, loading, ram, failed };

struct AdapterState {
  Residency residency;
  size_t bytes;  ///< resident, or needed
  uint32_t uses;  ///< sequences that wait for it or run on it
  uint64_t loads, evictions;
  double load_seconds;  ///< of all loads together
  bool pinned;
};

struct AdapterTotals {
  size_t registered, resident, bytes_used, bytes_pinned;
  uint64_t loads, evictions;
  double load_seconds;
  PackedTotals packed;
};

struct AdapterStoreOptions {
  size_t budget_bytes = 0;  ///< of resident adapters: their share, where `memory` is set
  /// What they have together with the KV pages; null: budget_bytes alone.
  std::shared_ptr<MemoryBudget> memory;
  size_t loaders = 2;       ///< loads under way at once
  std::string packed_dir;   ///< where packed forms are kept; empty: nowhere
  uint64_t packed_bytes = uint64_t{32} << 30;  ///< what they may take there
};

/// Registered adapters and which of them are in memory. One that is registered with the hash of its tensors is packed
/// (packed_folder.h) when it was first read; from then on the file is the packed one, and its original may change or go. Threads of its own load them, several at once, so that a step
/// never waits for one (promise 3); resident ones stay within the byte budget (promise 4). Room is made by adapters that no sequence
/// wants, the least recently used first. One that waiting sequences want gives way only to an urgent want, so that
/// sequences in the queue do not take each other's adapters away before they ran. Every method may be called from any
/// thread; none takes longer the more adapters there are.
class AdapterStore {
 public:
  /// `changed` is called (on a loading thread) whenever a load ended, there is a warning, or the pages owe memory to a load:
  /// they return what they can, and then room_made() is called.
  AdapterStore(AdapterBase base, AdapterStoreOptions options, std::function<void()> changed);
  ~AdapterStore();

  /// Checks the file's header (of the packed form where there is one) against the base and registers it. Throws Error(bad_adapter | not_found | resource_exhausted).
  uint32_t add(AdapterSpec spec);
  /// What went wrong without an adapter failing since this was last asked, as sentences; at most a few.
  std::vector<std::string> take_warnings();
  /// No new sequence; the memory goes when the last one that holds the handle forgets it. False where it is unknown.
  bool remove(uint32_t handle);

  /// A sequence takes the handle, waiting or running: a removed adapter lives on for it. Null where the handle is unknown
  /// or removed.
  std::shared_ptr<const AdapterSpec> retain(uint32_t handle);
  void forget(uint32_t handle);

  enum class Want { ready, pending, no_room, failed };
  /// Asks for residency. ready: acquire() will succeed now. no_room: its load waits until others let go of another
  /// adapter. failed: the last load failed, error() says why; with `retry` it is tried again. `urgent`: no sequence waits
  /// before the one that asks, so that its adapter is loaded next, if need be in place of one that waiting sequences want;
  /// the last urgent want counts.
  Want want(uint32_t handle, bool retry, bool urgent);
  Error error(uint32_t handle) const;
  /// Calls `done` (null: resident; else why not) once, now or on a loading thread.
  using Done = std::function<void(const Error*)>;
  void load(uint32_t handle, Done done);
  /// A pinned adapter is never evicted once it is resident; its bytes are kept from all others. Throws Error(not_found |
  /// resource_exhausted): the pinned ones would take more than the budget.
  void pin(uint32_t handle);
  /// Unknown handles and ones that are not pinned are ignored.
  void unpin(uint32_t handle);
  /// A running sequence holds the weights so that they stay resident; null where they are not.
  const LoraAdapter* acquire(uint32_t handle);
  void release(uint32_t handle);

  /// The pages have returned what they owed, or all that they can now.
  void room_made();
  /// Evicts an adapter where adapters owe memory to the pages: one that nobody wants, with `from_wanted` also one that waiting
  /// sequences want. False where nothing is owed or none can go.
  bool give_back(bool from_wanted);

  AdapterState state(uint32_t handle) const;
  AdapterTotals totals() const;

 private:
  using List = std::list<uint32_t>;
  struct Entry {
    std::shared_ptr<const AdapterSpec> spec;
    size_t bytes = 0;
    Residency residency = Residency::disk;
    bool held = false;  ///< by a loading thread; while residency is loading and this is false, it is in queue_
    std::unique_ptr<LoraAdapter> adapter;
    uint32_t sequences = 0;  ///< retained
    uint32_t running = 0;    ///< acquired
    bool pinned = false, removed = false;
    uint64_t loads = 0, evictions = 0;
    double load_seconds = 0;
    ErrorCode error_code = ErrorCode::internal;
    std::string error;
    std::vector<Done> waiters;
    List* list = nullptr;  ///< the one of queue_, idle_ and wanted_ that it is in, at `place`
    List::iterator place;
  };
  using Entries = std::unordered_map<uint32_t, Entry>;
  /// A load with its room reserved, or one that can never have any.
  struct Load {
    uint32_t handle = 0;
    bool fits = false;
    std::shared_ptr<const AdapterSpec> spec;
    size_t bytes = 0;
    std::vector<std::unique_ptr<LoraAdapter>> evicted;  ///< freed without the lock
    bool asks_pages = false;  ///< it waits for memory that the pages owe, and they have to be told
  };
  struct Outcome {
    std::unique_ptr<LoraAdapter> adapter;  ///< null: failed
    bool pack = false;                     ///< it was read from its original and has no packed form yet
    ErrorCode code = ErrorCode::internal;
    std::string error;
    double seconds = 0;
  };
  void load_loop();
  bool take(Load& load);
  Outcome run(const Load& load);
  void open_trace(const AdapterSpec& spec, LoraAdapter& adapter);
  void finish(const Load& load, Outcome outcome);
  void let_go(uint32_t handle);
  void warn(const std::string& sentence);
  bool make_room(size_t bytes, bool from_wanted, Load& load);
  std::unique_ptr<LoraAdapter> evict(bool from_wanted);
  void ask(uint32_t handle, Entry& entry, bool urgent);
  void file(uint32_t handle, Entry& entry);
  void drop_pin(Entry& entry);
  Entries::node_type take_removed(uint32_t handle);
  static void bury(Entries::node_type node);

  const AdapterBase base_;
  const AdapterStoreOptions options_;
  const std::function<void()> changed_;
  const std::shared_ptr<MemoryBudget> memory_;  ///< of what is resident and being loaded
  PackedFolder packed_;

  mutable std::mutex mutex_;
  std::condition_variable work_;
  Entries entries_;
  List queue_;   ///< asked for, in order
  List idle_;    ///< resident, wanted by nobody and not pinned; the least recently used first
  List wanted_;  ///< resident, not pinned, wanted by waiting sequences only; the first that came to be so first
  bool pages_asked_ = false, pages_done_ = false;  ///< since the next load last waited for the pages; they returned what they can
  size_t bytes_pinned_ = 0, resident_ = 0;
  uint64_t loads_ = 0, evictions_ = 0;
  double load_seconds_ = 0;
  uint32_t next_handle_ = 1;
  uint32_t urgent_ = 0;   ///< an urgent want, in queue_
  uint32_t blocked_ = 0;  ///< the next load, where it waits for room
  size_t overtaken_ = 0;  ///< urgent loads in a row that went before the first of the queue
  std::vector<std::string> warnings_;
  bool stop_ = false;
  std::vector<std::thread> loaders_;
};

}  // namespace colophon
