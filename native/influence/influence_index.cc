#include "influence/influence_index.h"

#include <bit>
#include <cmath>
#include <cstring>

#include "engine/error.h"
#include "loader/describe.h"

namespace colophon {
namespace {

static_assert(std::endian::native == std::endian::little, "the file's numbers are little-endian");

constexpr char kMagic[8] = {'C', 'O', 'L', 'O', 'I', 'N', 'F', '1'};

/// Then: rates, 8 bytes each; sizes of blocks, 4 bytes each; the rows; SHA-256.
struct Header {
  char magic[8];
  uint32_t hidden;
  uint32_t examples;
  uint32_t dims;
  uint32_t blocks;
  uint32_t checkpoints;
  uint32_t preconditioned;
  uint64_t seed;
  Digest adapter;
};
static_assert(sizeof(Header) == 72);

/// Bounds by which no size overflows 64 bits.
constexpr uint32_t kMostHidden = 1 << 20, kMostBlocks = 1 << 16, kMostCheckpoints = 16;

bool can_be(const Header& h) {
  return h.hidden > 0 && h.hidden <= kMostHidden && h.dims > 0 && h.dims <= kMostBlockDims && h.blocks > 0 && h.blocks <= kMostBlocks &&
         h.checkpoints > 0 && h.checkpoints <= kMostCheckpoints && h.preconditioned <= 1 && h.examples > 0;
}

uint64_t table_bytes(const Header& h) { return uint64_t{h.checkpoints} * 8 + uint64_t{h.blocks} * 4; }

float load_float(const uint8_t* at) {
  float value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

}  // namespace

InfluenceIndex::InfluenceIndex(const std::string& path, const Digest& adapter) : file_(path, ErrorCode::bad_adapter) {
  const auto refuse = [&](const std::string& why) {
    throw Error(ErrorCode::bad_adapter, "the influence index " + quote(path) + " " + why);
  };
  Header header;
  if (file_.size() < sizeof header) refuse("is cut short: it has no whole header");
  std::memcpy(&header, file_.data(), sizeof header);
  if (std::memcmp(header.magic, kMagic, sizeof kMagic) != 0) refuse("is no influence index of this version");
  if (!can_be(header)) refuse("is damaged: its header cannot be");
  const uint64_t start = sizeof header + table_bytes(header);
  if (file_.size() < start) refuse("is cut short: it has no whole header");
  layout_ = {header.hidden, header.examples, header.dims, header.seed, header.preconditioned == 1, {}, {}};
  layout_.rates.resize(header.checkpoints);
  layout_.blocks.resize(header.blocks);
  std::memcpy(layout_.rates.data(), file_.data() + sizeof header, header.checkpoints * 8);
  std::memcpy(layout_.blocks.data(), file_.data() + sizeof header + header.checkpoints * 8, header.blocks * 4);
  const uint64_t expected = start + layout_.examples * layout_.row_bytes_of_example() + sizeof(Digest);
  if (file_.size() != expected)
    refuse("has " + std::to_string(file_.size()) + " bytes where its header says " + std::to_string(expected));
  if (header.adapter != adapter)
    refuse("is of another adapter: of " + to_hex(header.adapter) + ", not of " + to_hex(adapter));
  states_ = file_.data() + start;
  gradients_ = states_ + layout_.examples * layout_.state_row_bytes();
}

void InfluenceIndex::check() const {
  const size_t body = file_.size() - sizeof(Digest);
  Digest kept;
  std::memcpy(kept.data(), file_.data() + body, sizeof kept);
  if (sha256(file_.data(), body) == kept) return;
  throw Error(ErrorCode::bad_adapter, "the influence index " + quote(file_.path()) +
                                          " is damaged: its SHA-256 is not the one at its end");
}

float InfluenceIndex::Gradient::scale(size_t block) const { return load_float(scales + block * 4); }

InfluenceIndex::Gradient InfluenceIndex::gradient(size_t checkpoint, uint32_t example, bool preconditioned) const {
  const size_t kind_bytes = (layout_.gradient_row_bytes() - 4) / layout_.kinds();
  const uint8_t* const scales = row(checkpoint, example) + 4 + (preconditioned ? kind_bytes : 0);
  return {scales, reinterpret_cast<const int8_t*>(scales + layout_.blocks.size() * 4)};
}

float InfluenceIndex::loss(size_t checkpoint, uint32_t example) const { return load_float(row(checkpoint, example)); }

float InfluenceIndex::base_loss(uint32_t example) const { return load_float(states_ + example * layout_.state_row_bytes()); }

InfluenceWriter::InfluenceWriter(const std::string& path, const Digest& adapter, const InfluenceLayout& layout) : file_(path) {
  Header header{{}, layout.hidden, layout.examples, layout.dims, static_cast<uint32_t>(layout.blocks.size()),
                static_cast<uint32_t>(layout.rates.size()), layout.preconditioned ? 1u : 0u, layout.seed, adapter};
  std::memcpy(header.magic, kMagic, sizeof kMagic);
  if (layout.blocks.size() > kMostBlocks || layout.rates.size() > kMostCheckpoints || !can_be(header))
    throw Error(ErrorCode::invalid_argument, "an influence index cannot have " + std::to_string(layout.examples) + " examples, " +
                                                 std::to_string(layout.rates.size()) + " checkpoints and " +
                                                 std::to_string(layout.blocks.size()) + " blocks of " + std::to_string(layout.dims) +
                                                 " values each");
  for (const double rate : layout.rates)
    if (!std::isfinite(rate) || rate < 0)
      throw Error(ErrorCode::invalid_argument, "a checkpoint's rate is " + std::to_string(rate) + ", which must be 0 or more");
  missing_ = layout.examples * layout.row_bytes_of_example();
  write(&header, sizeof header);
  write(layout.rates.data(), layout.rates.size() * 8);
  write(layout.blocks.data(), layout.blocks.size() * 4);
}

void InfluenceWriter::add(std::span<const uint8_t> bytes) {
  if (bytes.size() > missing_)
    throw Error(ErrorCode::invalid_argument, "the influence index is given " + std::to_string(bytes.size() - missing_) +
                                                 " bytes more than its rows have");
  missing_ -= bytes.size();
  write(bytes.data(), bytes.size());
}

void InfluenceWriter::finish() {
  if (missing_ > 0)
    throw Error(ErrorCode::invalid_argument, "the influence index lacks " + std::to_string(missing_) + " bytes of its rows");
  const Digest digest = hash_.finish();
  file_.write(digest.data(), digest.size());
  file_.finish();
}

void InfluenceWriter::write(const void* bytes, size_t count) {
  hash_.update(bytes, count);
  file_.write(bytes, count);
}

}  // namespace colophon
