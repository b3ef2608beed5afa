#pragma once

#include <memory>
#include <string>

#include "adapters/lora_adapter.h"

namespace colophon {

/// An adapter as it lies in memory, in a file: written once, read in one go. The file is a PackedHeader, a PackedModule for
/// each module of the spec in its order, the SHA-256 of all before it, then the adapter's allocation to the end of the
/// file. Numbers are little-endian. Where the parts lie in the allocation follows from the modules (lora_layout.h).
struct PackedHeader {
  char magic[8];
  uint32_t version, int8, modules, zero;
  uint64_t bytes;
  Digest content_hash, tensors_hash, base_hash;  ///< base_hash: zeros without DoRA
  Digest storage_hash;
};
struct PackedModule {
  uint32_t layer, linear, rank, in, out, dora, type;
  float scaling;
};
static_assert(sizeof(PackedHeader) == 160 && sizeof(PackedModule) == 32);

/// The file's name: the content hash and what else decides the bytes, so that servers of other precisions, bases and
/// versions may share a folder.
std::string packed_name(const AdapterSpec& spec, const AdapterBase& base);

/// Checks the file's header against spec and base and returns the bytes that load_packed() will need. Throws
/// Error(not_found): there is none, or none for this base; Error(bad_adapter): it is damaged or another adapter's, and
/// should be deleted.
size_t check_packed(const std::string& path, const AdapterSpec& spec, const AdapterBase& base);

/// Reads the adapter with every hash checked: the bits are those that LoraAdapter::load() gave. Throws as check_packed()
/// does, and Error(resource_exhausted).
std::unique_ptr<LoraAdapter> load_packed(const std::string& path, const AdapterSpec& spec, const AdapterBase& base);

/// Writes the file beside its place and renames it there. Throws Error(resource_exhausted) with the system's reason; then
/// nothing is left of it. `spec` has the hash of its tensors.
void save_packed(const LoraAdapter& adapter, const std::string& path, const AdapterSpec& spec, const AdapterBase& base);

}  // namespace colophon
