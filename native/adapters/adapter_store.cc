#include "adapters/adapter_store.h"

#include <algorithm>
#include <chrono>
#include <utility>

namespace colophon {
namespace {

/// Urgent loads in a row that may go before a load() that is first in the queue, so that it comes to its end under any
/// traffic.
constexpr size_t kOvertakes = 8;
/// Warnings that are kept until they are taken.
constexpr size_t kWarnings = 16;

Error not_loaded() {
  return Error(ErrorCode::not_found, "the adapter was unloaded before the request could run");
}

}  // namespace

AdapterStore::AdapterStore(AdapterBase base, AdapterStoreOptions options, std::function<void()> changed)
    : base_(std::move(base)),
      options_(std::move(options)),
      changed_(std::move(changed)),
      memory_(options_.memory ? options_.memory : std::make_shared<MemoryBudget>(0, options_.budget_bytes, false)),
      packed_(options_.packed_dir, options_.packed_bytes, [this](const std::string& sentence) { warn(sentence); }) {
  for (size_t i = 0; i < std::max<size_t>(options_.loaders, 1); ++i) loaders_.emplace_back([this] { load_loop(); });
}

AdapterStore::~AdapterStore() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
  }
  work_.notify_all();
  for (std::thread& loader : loaders_) loader.join();
  const Error closed(ErrorCode::resource_exhausted, "the engine is shutting down");
  for (const auto& [handle, entry] : entries_)
    for (const Done& done : entry.waiters) done(&closed);
}

uint32_t AdapterStore::add(AdapterSpec spec) {
  const std::optional<size_t> packed = packed_.check(spec, base_);
  const size_t bytes = (packed ? *packed : LoraAdapter::check(spec, base_)) + LoraAdapter::table_bytes(base_);
  if (bytes > options_.budget_bytes)
    throw Error(ErrorCode::resource_exhausted,
                "adapter \"" + spec.name + "\" takes " + std::to_string(bytes) +
                    " bytes, more than the whole budget of " + std::to_string(options_.budget_bytes) +
                    "; raise COLOPHON_ADAPTER_BYTES");
  std::lock_guard lock(mutex_);
  const uint32_t handle = next_handle_++;
  Entry& entry = entries_[handle];
  entry.spec = std::make_shared<const AdapterSpec>(std::move(spec));
  entry.bytes = bytes;
  return handle;
}

bool AdapterStore::remove(uint32_t handle) {
  Entries::node_type removed;
  {
    std::lock_guard lock(mutex_);
    const auto found = entries_.find(handle);
    if (found == entries_.end() || found->second.removed) return false;
    found->second.removed = true;
    drop_pin(found->second);
    file(handle, found->second);
    removed = take_removed(handle);
  }
  bury(std::move(removed));
  return true;
}

/// Takes out a removed entry that no sequence and no loading thread holds. Holds the lock; what it returns is
/// buried without it.
AdapterStore::Entries::node_type AdapterStore::take_removed(uint32_t handle) {
  const auto found = entries_.find(handle);
  if (found == entries_.end()) return {};
  Entry& entry = found->second;
  if (!entry.removed || entry.sequences > 0 || entry.held) return {};
  if (entry.residency == Residency::ram) {
    memory_->give_from_adapters(entry.bytes);
    --resident_;
  }
  if (entry.list) entry.list->erase(entry.place);
  if (urgent_ == handle) urgent_ = 0;
  work_.notify_one();  // a load may have waited for this room, or behind this one
  return entries_.extract(found);
}

/// Tells those who wait for its load. Without the lock.
void AdapterStore::bury(Entries::node_type node) {
  if (node.empty()) return;
  const Error gone = not_loaded();
  for (const Done& done : node.mapped().waiters) done(&gone);
}

/// Puts an entry at the end of the list where it belongs now; where that is the list it is in, it keeps its place. Holds
/// the lock.
void AdapterStore::file(uint32_t handle, Entry& entry) {
  List* list = nullptr;
  if (entry.residency == Residency::loading && !entry.held) list = &queue_;
  if (entry.residency == Residency::ram && entry.running == 0 && !entry.held && !entry.pinned)
    list = entry.sequences > 0 ? &wanted_ : &idle_;
  if (list == entry.list) return;
  if (entry.list) entry.list->erase(entry.place);
  if (list) entry.place = list->insert(list->end(), handle);
  entry.list = list;
}

std::shared_ptr<const AdapterSpec> AdapterStore::retain(uint32_t handle) {
  std::lock_guard lock(mutex_);
  const auto found = entries_.find(handle);
  if (found == entries_.end() || found->second.removed) return nullptr;
  ++found->second.sequences;
  file(handle, found->second);
  return found->second.spec;
}

void AdapterStore::forget(uint32_t handle) {
  Entries::node_type removed;
  {
    std::lock_guard lock(mutex_);
    const auto found = entries_.find(handle);
    if (found == entries_.end()) return;
    Entry& entry = found->second;
    if (--entry.sequences == 0) {
      if (urgent_ == handle) urgent_ = 0;
      file(handle, entry);
      work_.notify_one();  // a load may wait for this room
    }
    removed = take_removed(handle);
  }
  bury(std::move(removed));
}

/// Puts an adapter that is not resident into the queue of loads. Holds the lock.
void AdapterStore::ask(uint32_t handle, Entry& entry, bool urgent) {
  if (entry.residency != Residency::loading) {
    entry.residency = Residency::loading;
    file(handle, entry);
    work_.notify_one();
  }
  if (urgent && !entry.held && urgent_ != handle) {
    urgent_ = handle;
    blocked_ = 0;
    work_.notify_one();
  }
}

AdapterStore::Want AdapterStore::want(uint32_t handle, bool retry, bool urgent) {
  std::lock_guard lock(mutex_);
  const auto found = entries_.find(handle);
  if (found == entries_.end()) return Want::failed;
  Entry& entry = found->second;
  if (entry.residency == Residency::ram) return Want::ready;
  if (entry.residency == Residency::failed && !retry) return Want::failed;
  ask(handle, entry, urgent);
  // What an urgent want waits for may be the room of a load() that has been overtaken often enough.
  return blocked_ == handle || (urgent_ == handle && blocked_ != 0) ? Want::no_room : Want::pending;
}

Error AdapterStore::error(uint32_t handle) const {
  std::lock_guard lock(mutex_);
  const auto found = entries_.find(handle);
  return found == entries_.end() ? not_loaded() : Error(found->second.error_code, found->second.error);
}

void AdapterStore::load(uint32_t handle, Done done) {
  {
    std::lock_guard lock(mutex_);
    const auto found = entries_.find(handle);
    if (found == entries_.end()) {
      const Error gone = not_loaded();
      return done(&gone);
    }
    if (found->second.residency != Residency::ram) {
      ask(handle, found->second, false);
      found->second.waiters.push_back(std::move(done));
      return;
    }
  }
  done(nullptr);
}

void AdapterStore::pin(uint32_t handle) {
  std::lock_guard lock(mutex_);
  const auto found = entries_.find(handle);
  if (found == entries_.end() || found->second.removed) throw not_loaded();
  Entry& entry = found->second;
  if (entry.pinned) return;
  if (bytes_pinned_ + entry.bytes > options_.budget_bytes)
    throw Error(ErrorCode::resource_exhausted,
                "adapter \"" + entry.spec->name + "\" of " + std::to_string(entry.bytes) +
                    " bytes cannot be pinned: pinned adapters take " + std::to_string(bytes_pinned_) +
                    " bytes of the budget of " + std::to_string(options_.budget_bytes) +
                    " already; unpin one or raise COLOPHON_ADAPTER_BYTES");
  entry.pinned = true;
  bytes_pinned_ += entry.bytes;
  file(handle, entry);
  work_.notify_one();  // the next load may have become one that can never have room
}

void AdapterStore::unpin(uint32_t handle) {
  std::lock_guard lock(mutex_);
  const auto found = entries_.find(handle);
  if (found == entries_.end()) return;
  drop_pin(found->second);
  file(handle, found->second);
}

/// Holds the lock; file() comes after.
void AdapterStore::drop_pin(Entry& entry) {
  if (!entry.pinned) return;
  entry.pinned = false;
  bytes_pinned_ -= entry.bytes;
  work_.notify_one();  // a load may wait for this room
}

const LoraAdapter* AdapterStore::acquire(uint32_t handle) {
  std::lock_guard lock(mutex_);
  const auto found = entries_.find(handle);
  if (found == entries_.end() || found->second.residency != Residency::ram) return nullptr;
  ++found->second.running;
  file(handle, found->second);
  return found->second.adapter.get();
}

void AdapterStore::release(uint32_t handle) {
  std::lock_guard lock(mutex_);
  const auto found = entries_.find(handle);
  if (found == entries_.end()) return;
  if (--found->second.running > 0) return;
  file(handle, found->second);
  work_.notify_one();  // a load may wait for this room
}

/// The least recently used that nobody wants; with `from_wanted`, where there is none, the one that came last to be wanted by
/// waiting sequences, whose turn is furthest away. Null where none can go. Holds the lock; what it returns is freed without it.
std::unique_ptr<LoraAdapter> AdapterStore::evict(bool from_wanted) {
  if (idle_.empty() && !(from_wanted && !wanted_.empty())) return nullptr;
  const uint32_t victim = idle_.empty() ? wanted_.back() : idle_.front();
  Entry& entry = entries_.at(victim);
  std::unique_ptr<LoraAdapter> out = std::move(entry.adapter);
  entry.residency = Residency::disk;
  file(victim, entry);
  ++entry.evictions;
  ++evictions_;
  --resident_;
  memory_->give_from_adapters(entry.bytes);
  return out;
}

/// Takes `bytes` from the budget: what the pages have borrowed before other adapters have to go. Holds the lock.
bool AdapterStore::make_room(size_t bytes, bool from_wanted, Load& load) {
  while (!memory_->take_for_adapters(bytes)) {
    if (!pages_done_ && memory_->pages_owe() > 0) {
      load.asks_pages = !std::exchange(pages_asked_, true);
      return false;
    }
    std::unique_ptr<LoraAdapter> evicted = evict(from_wanted);
    if (!evicted) {
      pages_asked_ = pages_done_ = false;  // they may have more to return when this is tried again
      return false;
    }
    load.evicted.push_back(std::move(evicted));
  }
  pages_asked_ = pages_done_ = false;
  return true;
}

void AdapterStore::room_made() {
  std::lock_guard lock(mutex_);
  pages_done_ = pages_asked_;
  if (blocked_ != 0) work_.notify_one();
}

bool AdapterStore::give_back(bool from_wanted) {
  std::unique_ptr<LoraAdapter> evicted;
  std::lock_guard lock(mutex_);
  if (memory_->adapters_owe() == 0) return false;
  evicted = evict(from_wanted);
  return evicted != nullptr;
}

/// Takes the next load out of the queue where there is room for it. The first waits for room rather than being overtaken,
/// which would starve large adapters; only an urgent one goes before it. Holds the lock.
bool AdapterStore::take(Load& load) {
  blocked_ = 0;
  if (queue_.empty()) {
    memory_->adapters_wait_no_more();
    return false;
  }
  const uint32_t first = queue_.front();
  const bool first_is_due = overtaken_ >= kOvertakes && !entries_.at(first).waiters.empty();
  const uint32_t handle = urgent_ != 0 && !first_is_due ? urgent_ : first;
  Entry& entry = entries_.at(handle);
  const size_t pinned_by_others = bytes_pinned_ - (entry.pinned ? entry.bytes : 0);
  load.fits = pinned_by_others + entry.bytes <= options_.budget_bytes;
  if (load.fits && !make_room(entry.bytes, urgent_ != 0, load)) {
    blocked_ = handle;
    return false;
  }
  overtaken_ = handle == first ? 0 : overtaken_ + 1;
  if (handle == urgent_) urgent_ = 0;
  entry.held = true;
  file(handle, entry);
  load.handle = handle;
  load.spec = entry.spec;
  load.bytes = entry.bytes;
  if (!queue_.empty()) work_.notify_one();  // whoever wakes a loader wakes one; there may be room for more
  return true;
}

/// What is wrong with an index is no reason not to serve: the answers are not traced.
void AdapterStore::open_trace(const AdapterSpec& spec, LoraAdapter& adapter) {
  if (spec.trace_path.empty()) return;
  try {
    auto trace = std::make_unique<TraceIndex>(spec.trace_path, spec.content_hash);
    trace->check();
    adapter.set_trace(std::move(trace));
  } catch (const Error& error) {
    warn(std::string(error.what()) + "; adapter \"" + spec.name + "\" is served, its answers are not traced");
  }
}

/// Reads an adapter. Without the lock.
AdapterStore::Outcome AdapterStore::run(const Load& load) {
  const AdapterSpec& spec = *load.spec;
  Outcome out;
  const auto start = std::chrono::steady_clock::now();
  // The file may have changed since it was registered; then its size is no longer what the budget holds.
  const auto check_bytes = [&](size_t bytes) {
    if (bytes + LoraAdapter::table_bytes(base_) == load.bytes) return;
    throw Error(ErrorCode::bad_adapter,
                "adapter \"" + spec.name + "\" changed on disk after it was registered; load it again");
  };
  try {
    if (!load.fits)
      throw Error(ErrorCode::resource_exhausted,
                  "adapter \"" + spec.name + "\" takes " + std::to_string(load.bytes) +
                      " bytes, more than the pinned adapters leave of the budget of " +
                      std::to_string(options_.budget_bytes) + "; unpin one or raise COLOPHON_ADAPTER_BYTES");
    out.adapter = packed_.load(spec, base_);
    if (!out.adapter) {
      check_bytes(LoraAdapter::check(spec, base_));
      out.adapter = LoraAdapter::load(spec, base_);
      out.pack = packed_.wants(spec);
    }
    check_bytes(out.adapter->bytes());
    open_trace(spec, *out.adapter);
  } catch (const Error& error) {
    out = {};
    out.code = error.code();
    out.error = error.what();
  } catch (const std::exception& error) {
    out = {};
    out.error = "adapter \"" + spec.name + "\" could not be loaded: " + error.what();
  }
  out.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return out;
}

/// Makes a load's outcome known, then packs the adapter where it should be. Without the lock.
void AdapterStore::finish(const Load& load, Outcome outcome) {
  std::vector<Done> waiters;
  const LoraAdapter* const loaded = outcome.adapter.get();
  const Error why(outcome.code, outcome.error);
  {
    std::lock_guard lock(mutex_);
    Entry& entry = entries_.at(load.handle);  // held entries are never erased
    if (loaded) {
      entry.adapter = std::move(outcome.adapter);
      entry.residency = Residency::ram;
      ++resident_;
      ++entry.loads;
      ++loads_;
      entry.load_seconds += outcome.seconds;
      load_seconds_ += outcome.seconds;
    } else {
      entry.residency = Residency::failed;
      entry.error_code = outcome.code;
      entry.error = std::move(outcome.error);
      if (load.fits) memory_->give_from_adapters(load.bytes);
    }
    waiters.swap(entry.waiters);
  }
  if (!outcome.pack) let_go(load.handle);
  for (const Done& done : waiters) done(loaded ? nullptr : &why);
  changed_();
  if (!outcome.pack) return;
  packed_.save(*loaded, *load.spec, base_);  // sequences run on it meanwhile
  let_go(load.handle);
  changed_();  // it can be evicted now: pages may wait for its memory
}

/// A loading thread is done with an entry. Without the lock.
void AdapterStore::let_go(uint32_t handle) {
  Entries::node_type removed;
  {
    std::lock_guard lock(mutex_);
    Entry& entry = entries_.at(handle);
    entry.held = false;
    file(handle, entry);
    removed = take_removed(handle);
  }
  bury(std::move(removed));
}

void AdapterStore::warn(const std::string& sentence) {
  {
    std::lock_guard lock(mutex_);
    if (warnings_.size() == kWarnings) return;
    warnings_.push_back(sentence);
  }
  changed_();
}

std::vector<std::string> AdapterStore::take_warnings() {
  std::lock_guard lock(mutex_);
  return std::exchange(warnings_, {});
}

void AdapterStore::load_loop() {
  for (;;) {
    Load load;
    {
      std::unique_lock lock(mutex_);
      while (!stop_ && !take(load)) {
        if (load.evicted.empty() && !load.asks_pages) {
          work_.wait(lock);
        } else {  // some room was made, not enough; what made it must not live on while the rest is waited for
          lock.unlock();
          load.evicted.clear();
          if (std::exchange(load.asks_pages, false)) changed_();
          lock.lock();
        }
      }
      if (stop_) return;
    }
    load.evicted.clear();
    finish(load, run(load));
  }
}

AdapterState AdapterStore::state(uint32_t handle) const {
  std::lock_guard lock(mutex_);
  const auto found = entries_.find(handle);
  if (found == entries_.end())
    throw Error(ErrorCode::not_found, "there is no adapter with the handle " + std::to_string(handle));
  const Entry& entry = found->second;
  return {entry.residency, entry.bytes, entry.sequences, entry.loads, entry.evictions, entry.load_seconds, entry.pinned};
}

AdapterTotals AdapterStore::totals() const {
  std::lock_guard lock(mutex_);
  return {entries_.size(), resident_, memory_->adapters_used(), bytes_pinned_, loads_, evictions_, load_seconds_, packed_.totals()};
}

}  // namespace colophon
