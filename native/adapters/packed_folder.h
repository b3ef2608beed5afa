#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "adapters/packed_adapter.h"

namespace colophon {

struct PackedTotals {
  uint64_t loads = 0;    ///< adapters read from their packed form
  uint64_t saves = 0;    ///< written
  uint64_t damaged = 0;  ///< found damaged and deleted
  uint64_t unsaved = 0;  ///< could not be written
};

/// The packed forms of adapters in a folder, under the hash of their content: what is found there is the adapter of that
/// hash whatever became of its original, and what is not found or is damaged is read from the original. The folder stays
/// within a bound of bytes, the longest unused go first; several processes may share it. Nothing here fails: what goes
/// wrong is counted and told to `warn`. Every method may be called from any thread.
class PackedFolder {
 public:
  /// An empty path: there is none, and every method does nothing.
  PackedFolder(std::string path, uint64_t most_bytes, std::function<void(const std::string&)> warn);

  /// Bytes that the adapter needs in memory, from its packed header; none where it has no packed form that is whole.
  std::optional<size_t> check(const AdapterSpec& spec, const AdapterBase& base) const;
  /// The adapter from its packed form; null where there is none or it was damaged (it is deleted then).
  std::unique_ptr<LoraAdapter> load(const AdapterSpec& spec, const AdapterBase& base);
  /// Whether save() would write this adapter.
  bool wants(const AdapterSpec& spec) const { return !path_.empty() && spec.tensors_hash.has_value(); }
  void save(const LoraAdapter& adapter, const AdapterSpec& spec, const AdapterBase& base);

  PackedTotals totals() const;

 private:
  std::string path_of(const AdapterSpec& spec, const AdapterBase& base) const;
  void trim(const std::string& keep);

  const std::string path_;
  const uint64_t most_bytes_;
  const std::function<void(const std::string&)> warn_;

  mutable std::mutex mutex_;
  PackedTotals totals_;
  bool warned_ = false;  ///< that files cannot be written, since one last could
  std::mutex trimming_;
  std::optional<uint64_t> bytes_;  ///< in the folder; none before it was first looked through
};

}  // namespace colophon
