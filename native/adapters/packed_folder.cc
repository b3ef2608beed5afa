#include "adapters/packed_folder.h"

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <vector>

#include "engine/error.h"
#include "loader/describe.h"

namespace colophon {
namespace fs = std::filesystem;
namespace {

/// Unfinished files of processes that are no more.
constexpr auto kForgotten = std::chrono::hours(1);

}  // namespace

PackedFolder::PackedFolder(std::string path, uint64_t most_bytes, std::function<void(const std::string&)> warn)
    : path_(most_bytes == 0 ? "" : std::move(path)), most_bytes_(most_bytes), warn_(std::move(warn)) {}

std::string PackedFolder::path_of(const AdapterSpec& spec, const AdapterBase& base) const {
  return path_ + "/" + packed_name(spec, base);
}

std::optional<size_t> PackedFolder::check(const AdapterSpec& spec, const AdapterBase& base) const {
  if (!wants(spec)) return std::nullopt;
  try {
    return check_packed(path_of(spec, base), spec, base);
  } catch (const Error&) {  // load() deletes it where it is damaged
    return std::nullopt;
  }
}

std::unique_ptr<LoraAdapter> PackedFolder::load(const AdapterSpec& spec, const AdapterBase& base) {
  if (!wants(spec)) return nullptr;
  const std::string path = path_of(spec, base);
  std::error_code ignored;
  try {
    std::unique_ptr<LoraAdapter> adapter = load_packed(path, spec, base);
    fs::last_write_time(path, fs::file_time_type::clock::now(), ignored);  // used: it goes last
    std::lock_guard lock(mutex_);
    ++totals_.loads;
    return adapter;
  } catch (const Error& error) {
    if (error.code() == ErrorCode::not_found) return nullptr;
    if (error.code() != ErrorCode::bad_adapter) throw;
    fs::remove(path, ignored);
    {
      std::lock_guard lock(mutex_);
      ++totals_.damaged;
    }
    warn_(std::string(error.what()) + "; it was deleted, the adapter is read from its original");
    return nullptr;
  }
}

void PackedFolder::save(const LoraAdapter& adapter, const AdapterSpec& spec, const AdapterBase& base) {
  if (!wants(spec) || adapter.bytes() > most_bytes_) return;
  const std::string path = path_of(spec, base);
  try {
    std::error_code ignored;  // writing says why
    if (fs::create_directories(path_, ignored)) fs::permissions(path_, fs::perms::owner_all, ignored);
    save_packed(adapter, path, spec, base);
    trim(path);
    std::lock_guard lock(mutex_);
    ++totals_.saves;
    warned_ = false;
  } catch (const std::exception& error) {
    bool tell;
    {
      std::lock_guard lock(mutex_);
      ++totals_.unsaved;
      tell = !warned_;
      warned_ = true;
    }
    if (tell) warn_(std::string(error.what()) + "; adapters are served from their originals meanwhile");
  }
}

/// After `keep` was written: deletes the longest unused where the folder is beyond its bound, to a tenth below it, so that
/// the folder is not looked through for every adapter. Throws where that does not help.
void PackedFolder::trim(const std::string& keep) {
  struct Found {
    fs::path path;
    fs::file_time_type used;
    uint64_t bytes;
  };
  std::lock_guard lock(trimming_);
  std::error_code ignored;
  const uint64_t added = fs::file_size(keep);
  if (bytes_) *bytes_ += added;
  if (bytes_ && *bytes_ <= most_bytes_) return;
  uint64_t total = 0;
  std::vector<Found> all;
  const auto now = fs::file_time_type::clock::now();
  std::error_code error;
  for (auto it = fs::directory_iterator(path_, error); !error && it != fs::directory_iterator(); it.increment(error)) {
    const fs::path& path = it->path();
    const std::string extension = path.extension().string();
    if (extension != ".packed" && extension != ".tmp") continue;
    std::error_code gone;  // by another process, just now
    const auto used = it->last_write_time(gone);
    const uint64_t bytes = gone ? 0 : it->file_size(gone);
    if (gone) continue;
    if (extension == ".tmp") {
      if (now - used > kForgotten) fs::remove(path, ignored);
      continue;
    }
    total += bytes;
    all.push_back({path, used, bytes});
  }
  if (total > most_bytes_) {
    std::sort(all.begin(), all.end(), [](const Found& a, const Found& b) { return a.used < b.used; });
    for (const Found& found : all) {
      if (total <= most_bytes_ - most_bytes_ / 10) break;
      if (found.path == keep || !fs::remove(found.path, ignored)) continue;
      total -= found.bytes;
    }
  }
  bytes_ = total;
  if (total <= most_bytes_) return;
  if (fs::remove(keep, ignored)) *bytes_ -= added;
  throw Error(ErrorCode::resource_exhausted, "the packed adapters in " + quote(path_) + " take " + std::to_string(total) +
                                                 " bytes, more than " + std::to_string(most_bytes_) +
                                                 ", and cannot be deleted");
}

PackedTotals PackedFolder::totals() const {
  std::lock_guard lock(mutex_);
  return totals_;
}

}  // namespace colophon
