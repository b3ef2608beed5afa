#include "adapters/adapter_store.h"

#include <algorithm>
#include <chrono>

namespace colophon {

AdapterStore::AdapterStore(AdapterBase base, size_t budget_bytes, std::function<void()> changed)
    : base_(std::move(base)), budget_bytes_(budget_bytes), changed_(std::move(changed)) {
  loader_ = std::thread([this] { load_loop(); });
}

AdapterStore::~AdapterStore() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
  }
  work_.notify_all();
  loader_.join();
  const Error closed(ErrorCode::resource_exhausted, "the engine is shutting down");
  for (const auto& [handle, entry] : entries_)
    for (const Done& done : entry.waiters) done(&closed);
}

uint32_t AdapterStore::add(AdapterSpec spec) {
  const size_t bytes = LoraAdapter::check(spec, base_);
  if (bytes > budget_bytes_)
    throw Error(ErrorCode::resource_exhausted,
                "adapter \"" + spec.name + "\" takes " + std::to_string(bytes) +
                    " bytes, more than the whole budget of " + std::to_string(budget_bytes_) +
                    "; raise COLOPHON_ADAPTER_BYTES");
  std::lock_guard lock(mutex_);
  const uint32_t handle = next_handle_++;
  Entry& entry = entries_[handle];
  entry.spec = std::make_shared<const AdapterSpec>(std::move(spec));
  entry.bytes = bytes;
  return handle;
}

bool AdapterStore::remove(uint32_t handle) {
  std::lock_guard lock(mutex_);
  const auto found = entries_.find(handle);
  if (found == entries_.end() || found->second.removed) return false;
  found->second.removed = true;
  drop_if_removed(handle);
  return true;
}

/// Frees a removed entry that no sequence holds and that is not just being loaded. Holds the lock.
void AdapterStore::drop_if_removed(uint32_t handle) {
  const auto found = entries_.find(handle);
  if (found == entries_.end()) return;
  Entry& entry = found->second;
  if (!entry.removed || entry.sequences > 0 || entry.residency == Residency::loading) return;
  if (entry.residency == Residency::ram) bytes_used_ -= entry.bytes;
  queue_.erase(std::remove(queue_.begin(), queue_.end(), handle), queue_.end());
  entries_.erase(found);
  work_.notify_all();  // a load may have waited for this room
}

std::shared_ptr<const AdapterSpec> AdapterStore::retain(uint32_t handle) {
  std::lock_guard lock(mutex_);
  const auto found = entries_.find(handle);
  if (found == entries_.end() || found->second.removed) return nullptr;
  ++found->second.sequences;
  return found->second.spec;
}

void AdapterStore::forget(uint32_t handle) {
  std::lock_guard lock(mutex_);
  const auto found = entries_.find(handle);
  if (found == entries_.end()) return;
  --found->second.sequences;
  drop_if_removed(handle);
}

AdapterStore::Want AdapterStore::want(uint32_t handle, bool retry) {
  std::lock_guard lock(mutex_);
  const auto found = entries_.find(handle);
  if (found == entries_.end()) return Want::failed;
  Entry& entry = found->second;
  if (entry.residency == Residency::ram) return Want::ready;
  if (entry.residency == Residency::failed && !retry) return Want::failed;
  if (entry.residency != Residency::loading &&
      std::find(queue_.begin(), queue_.end(), handle) == queue_.end()) {
    entry.residency = Residency::disk;
    queue_.push_back(handle);
    work_.notify_all();
  }
  return blocked_ == handle ? Want::no_room : Want::pending;
}

Error AdapterStore::error(uint32_t handle) const {
  std::lock_guard lock(mutex_);
  const auto found = entries_.find(handle);
  if (found == entries_.end())
    return Error(ErrorCode::not_found, "the adapter was unloaded before the request could run");
  return Error(found->second.error_code, found->second.error);
}

void AdapterStore::load(uint32_t handle, Done done) {
  const Want want = this->want(handle, true);
  {
    std::lock_guard lock(mutex_);
    const auto found = entries_.find(handle);
    if (want != Want::failed && found != entries_.end() && found->second.residency != Residency::ram) {
      found->second.waiters.push_back(std::move(done));
      return;
    }
  }
  if (want == Want::failed) {
    const Error why = error(handle);
    done(&why);
  } else {
    done(nullptr);
  }
}

const LoraAdapter* AdapterStore::acquire(uint32_t handle) {
  std::lock_guard lock(mutex_);
  const auto found = entries_.find(handle);
  if (found == entries_.end() || found->second.residency != Residency::ram) return nullptr;
  ++found->second.running;
  found->second.last_used = ++clock_;
  return found->second.adapter.get();
}

void AdapterStore::release(uint32_t handle) {
  std::lock_guard lock(mutex_);
  const auto found = entries_.find(handle);
  if (found == entries_.end()) return;
  found->second.last_used = ++clock_;
  if (--found->second.running > 0) return;
  work_.notify_all();  // a load may wait for this room
}

/// Evicts adapters that nobody runs on until `bytes` fit: first those that nobody waits for either, the least
/// recently used before the others. Holds the lock.
bool AdapterStore::make_room(size_t bytes, uint32_t keep) {
  while (bytes_used_ + bytes > budget_bytes_) {
    uint32_t victim = 0;
    std::pair<bool, uint64_t> best{true, UINT64_MAX};
    for (const auto& [handle, entry] : entries_) {
      const std::pair<bool, uint64_t> order{entry.sequences > 0, entry.last_used};
      if (handle == keep || entry.residency != Residency::ram || entry.running > 0 || !(order < best))
        continue;
      best = order;
      victim = handle;
    }
    if (victim == 0) return false;
    Entry& entry = entries_[victim];
    entry.adapter.reset();
    entry.residency = Residency::disk;
    ++entry.evictions;
    ++evictions_;
    bytes_used_ -= entry.bytes;
  }
  return true;
}

void AdapterStore::load_loop() {
  std::unique_lock lock(mutex_);
  for (;;) {
    // The first of the queue waits for room rather than being overtaken: overtaking would starve large
    // adapters.
    work_.wait(lock, [&] {
      blocked_ = 0;
      if (stop_) return true;
      if (queue_.empty()) return false;
      if (make_room(entries_[queue_.front()].bytes, queue_.front())) return true;
      blocked_ = queue_.front();
      return false;
    });
    if (stop_) return;
    const uint32_t handle = queue_.front();
    queue_.pop_front();
    Entry* entry = &entries_[handle];
    entry->residency = Residency::loading;
    bytes_used_ += entry->bytes;
    const std::shared_ptr<const AdapterSpec> spec = entry->spec;
    const size_t bytes = entry->bytes;
    lock.unlock();

    std::unique_ptr<LoraAdapter> adapter;
    ErrorCode code = ErrorCode::internal;
    std::string sentence;
    const auto start = std::chrono::steady_clock::now();
    try {
      // The file may have changed since it was registered; then its size is no longer what the budget holds.
      if (LoraAdapter::check(*spec, base_) != bytes)
        throw Error(ErrorCode::bad_adapter,
                    "adapter \"" + spec->name + "\" changed on disk after it was registered; load it again");
      adapter = LoraAdapter::load(*spec, base_);
    } catch (const Error& error) {
      code = error.code();
      sentence = error.what();
    } catch (const std::exception& error) {
      sentence = "adapter \"" + spec->name + "\" could not be loaded: " + error.what();
    }
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();

    lock.lock();
    entry = &entries_[handle];  // loading entries are never erased
    if (adapter) {
      entry->adapter = std::move(adapter);
      entry->residency = Residency::ram;
      entry->last_used = ++clock_;
      ++entry->loads;
      ++loads_;
      entry->load_seconds = seconds;
    } else {
      entry->residency = Residency::failed;
      entry->error_code = code;
      entry->error = sentence;
      bytes_used_ -= bytes;
    }
    std::vector<Done> waiters;
    waiters.swap(entry->waiters);
    const bool loaded = entry->residency == Residency::ram;
    drop_if_removed(handle);
    lock.unlock();
    const Error why(code, sentence);
    for (const Done& done : waiters) done(loaded ? nullptr : &why);
    changed_();
    lock.lock();
  }
}

AdapterState AdapterStore::state(uint32_t handle) const {
  std::lock_guard lock(mutex_);
  const auto found = entries_.find(handle);
  if (found == entries_.end())
    throw Error(ErrorCode::not_found, "there is no adapter with the handle " + std::to_string(handle));
  const Entry& entry = found->second;
  Residency residency = entry.residency;
  if (residency == Residency::disk && std::find(queue_.begin(), queue_.end(), handle) != queue_.end())
    residency = Residency::loading;
  return {residency, entry.bytes, entry.sequences, entry.loads, entry.evictions, entry.load_seconds};
}

AdapterTotals AdapterStore::totals() const {
  std::lock_guard lock(mutex_);
  size_t resident = 0;
  for (const auto& [handle, entry] : entries_) resident += entry.residency == Residency::ram;
  return {entries_.size(), resident, bytes_used_, loads_, evictions_};
}

}  // namespace colophon
