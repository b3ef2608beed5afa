#include "trace/trace_index.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "engine/error.h"
#include "loader/describe.h"
#include "loader/durable_file.h"
#include "trace/suffix_array.h"

namespace colophon {
namespace {

static_assert(std::endian::native == std::endian::little, "the file's numbers are little-endian");

constexpr char kMagic[8] = {'C', 'O', 'L', 'O', 'T', 'R', 'C', '1'};

/// Then: the text, symbol_bytes each; the suffix array, 4 bytes each; where each example begins, 4 bytes each.
struct Header {
  char magic[8];
  uint32_t symbol_bytes;
  uint32_t positions;  ///< of the text: a 0 ends each example
  uint32_t examples;
  uint32_t reserved;
  Digest adapter;
  Digest body;  ///< SHA-256 of all that follows the header
};
static_assert(sizeof(Header) == 88);

uint64_t body_bytes(const Header& header) {
  return uint64_t{header.positions} * (header.symbol_bytes + 4) + uint64_t{header.examples} * 4;
}

uint32_t load32(const uint8_t* at) {
  uint32_t value;
  std::memcpy(&value, at, 4);
  return value;
}

/// A row of the suffix array, and how many symbols of a pattern its suffix is known to begin with.
struct Bound {
  uint32_t row;
  uint32_t equal;
};

}  // namespace

TraceIndex::TraceIndex(const std::string& path, const Digest& adapter) : file_(path, ErrorCode::bad_adapter) {
  const auto refuse = [&](const std::string& why) {
    throw Error(ErrorCode::bad_adapter, "the trace index " + quote(path) + " " + why);
  };
  Header header;
  if (file_.size() < sizeof header) refuse("is cut short: it has no whole header");
  std::memcpy(&header, file_.data(), sizeof header);
  if (std::memcmp(header.magic, kMagic, sizeof kMagic) != 0) refuse("is no trace index of this version");
  if ((header.symbol_bytes != 2 && header.symbol_bytes != 3) || header.examples > header.positions ||
      (header.examples == 0) != (header.positions == 0))
    refuse("is damaged: its header cannot be");
  const uint64_t expected = sizeof header + body_bytes(header);
  if (file_.size() != expected)
    refuse("has " + std::to_string(file_.size()) + " bytes where its header says " + std::to_string(expected));
  if (header.adapter != adapter)
    refuse("is of another adapter: of " + to_hex(header.adapter) + ", not of " + to_hex(adapter));
  symbol_bytes_ = header.symbol_bytes;
  positions_ = header.positions;
  examples_ = header.examples;
  text_ = file_.data() + sizeof header;
  suffixes_ = text_ + uint64_t{positions_} * symbol_bytes_;
  starts_ = suffixes_ + uint64_t{positions_} * 4;
}

void TraceIndex::check() const {
  Header header;
  std::memcpy(&header, file_.data(), sizeof header);
  if (sha256(text_, body_bytes(header)) == header.body) return;
  throw Error(ErrorCode::bad_adapter, "the trace index " + quote(file_.path()) +
                                          " is damaged: its SHA-256 is not the one in its header");
}

// A damaged file may say anything: what is not in the text is read as an end.

uint32_t TraceIndex::suffix(uint32_t row) const { return load32(suffixes_ + uint64_t{row} * 4); }

uint32_t TraceIndex::symbol(uint64_t position) const {
  if (position >= positions_) return 0;
  const uint8_t* at = text_ + position * symbol_bytes_;
  const uint32_t low = at[0] | uint32_t{at[1]} << 8;
  return symbol_bytes_ == 2 ? low : low | uint32_t{at[2]} << 16;
}

TraceMatch TraceIndex::extended(const TraceMatch& match, uint32_t token) const {
  const uint64_t wanted = uint64_t{token} + 1;
  const auto first = [&](uint32_t from, uint64_t least) {
    uint32_t below = from, above = match.hi;
    while (below < above) {
      const uint32_t middle = below + (above - below) / 2;
      if (symbol(uint64_t{suffix(middle)} + match.length) < least) below = middle + 1;
      else above = middle;
    }
    return below;
  };
  const uint32_t lo = first(match.lo, wanted);
  return {lo, first(lo, wanted + 1), match.length + 1};
}

TraceMatch TraceIndex::search(uint32_t begin, uint32_t length, uint32_t token) const {
  const auto wanted = [&](uint32_t at) -> uint64_t {
    return at < length ? symbol(uint64_t{begin} + at) : uint64_t{token} + 1;
  };
  // Both bounds' rows are equal to the pattern as far as the smaller of their lengths: so is all between them.
  const auto first = [&](Bound below, Bound above, bool after) {
    while (below.row < above.row) {
      const uint32_t middle = below.row + (above.row - below.row) / 2;
      const uint64_t start = suffix(middle);
      uint32_t equal = std::min(below.equal, above.equal);
      uint64_t have = symbol(start + equal);
      while (equal < length && have == wanted(equal)) have = symbol(start + ++equal);
      const uint64_t want = wanted(equal);
      const bool less = have < want || (after && equal == length && have == want);
      if (less) below = {middle + 1, equal};
      else above = {middle, equal};
    }
    return below.row;
  };
  const uint32_t lo = first({0, 0}, {positions_, 0}, false);
  const uint32_t hi = first({lo, 0}, {positions_, 0}, true);
  return {lo, hi, length + 1};
}

TraceMatch TraceIndex::followed(const TraceMatch& match, uint32_t token) const {
  if (match.count() == 0) return positions_ == 0 ? none() : followed(none(), token);
  const TraceMatch longer = extended(match, token);
  if (longer.count() > 0) return longer;
  // An end of a run occurs wherever the run does: the shortest one that has to go is found by doubling, then by halving.
  const uint32_t begin = suffix(match.lo);
  const auto without = [&](uint32_t gone) {
    return gone == match.length ? extended(none(), token) : search(begin + gone, match.length - gone, token);
  };
  uint32_t too_few = 0, enough = 0;
  TraceMatch found{};
  for (uint64_t gone = 1; too_few < match.length; gone *= 2) {
    enough = static_cast<uint32_t>(std::min<uint64_t>(gone, match.length));
    found = without(enough);
    if (found.count() > 0) break;
    too_few = enough;
  }
  if (found.count() == 0) return none();
  while (too_few + 1 < enough) {
    const uint32_t middle = too_few + (enough - too_few) / 2;
    const TraceMatch tried = without(middle);
    if (tried.count() > 0) {
      found = tried;
      enough = middle;
    } else {
      too_few = middle;
    }
  }
  return found;
}

TraceIndex::Place TraceIndex::place(uint32_t row) const {
  const uint32_t position = suffix(row);
  uint32_t below = 0, above = examples_;  // the last example that begins at the position or before
  while (below + 1 < above) {
    const uint32_t middle = below + (above - below) / 2;
    if (load32(starts_ + uint64_t{middle} * 4) <= position) below = middle;
    else above = middle;
  }
  return {below, position - load32(starts_ + uint64_t{below} * 4)};
}

void TraceIndex::examples_of(const TraceMatch& match, size_t most, uint32_t rows, std::vector<uint32_t>& out) const {
  out.clear();
  const uint32_t end = match.lo + std::min(match.count(), rows);
  for (uint32_t row = match.lo; row < end && out.size() < most; ++row) {
    const uint32_t example = place(row).example;
    if (std::find(out.begin(), out.end(), example) == out.end()) out.push_back(example);
  }
}

std::vector<TraceIndex::Alike> TraceIndex::alike(uint32_t example, double least,
                                                 std::optional<uint32_t> without) const {
  const uint32_t unset = without ? *without + 1 : 0;
  const size_t symbols = size_t{1} << (8 * symbol_bytes_);
  std::vector<bool> own(symbols);
  std::vector<uint32_t> last(symbols, UINT32_MAX);  // the example that has the symbol, of those read last
  size_t own_count = 0;
  const auto each = [&](uint32_t of, const auto& take) {
    for (uint64_t at = load32(starts_ + uint64_t{of} * 4);; ++at) {
      const uint32_t one = symbol(at);
      if (one == 0) return;
      if (one == unset || last[one] == of) continue;
      last[one] = of;
      take(one);
    }
  };
  each(example, [&](uint32_t one) {
    own[one] = true;
    ++own_count;
  });
  std::vector<Alike> found;
  for (uint32_t other = 0; other < examples_; ++other) {
    if (other == example) continue;
    size_t count = 0, shared = 0;
    each(other, [&](uint32_t one) {
      ++count;
      shared += own[one];
    });
    if (shared == 0) continue;
    const double cosine = static_cast<double>(shared) / std::sqrt(static_cast<double>(own_count) * static_cast<double>(count));
    if (cosine >= least) found.push_back({other, cosine});
  }
  return found;
}

TraceIndexBuilder::TraceIndexBuilder(uint32_t vocabulary) : vocabulary_(vocabulary) {
  if (vocabulary == 0 || vocabulary >= 1u << 24)
    throw Error(ErrorCode::invalid_argument, "a vocabulary of " + std::to_string(vocabulary) +
                                                 " tokens cannot be traced; it must have 1 to 16,777,215");
}

void TraceIndexBuilder::add(std::span<const uint32_t> tokens) {
  for (const uint32_t token : tokens) {
    if (token < vocabulary_) continue;
    throw Error(ErrorCode::invalid_argument, "an example has the token " + std::to_string(token) +
                                                 ", but the vocabulary has " + std::to_string(vocabulary_));
  }
  if (text_.size() + tokens.size() + 1 > UINT32_MAX - 1)
    throw Error(ErrorCode::invalid_argument, "the examples have more than 4,294,967,294 tokens, the most of one index");
  starts_.push_back(static_cast<uint32_t>(text_.size()));
  for (const uint32_t token : tokens) text_.push_back(token + 1);
  text_.push_back(0);
}

void TraceIndexBuilder::write(const std::string& path, const Digest& adapter) const {
  Header header{};
  std::memcpy(header.magic, kMagic, sizeof kMagic);
  header.symbol_bytes = vocabulary_ < 65'535 ? 2 : 3;
  header.positions = static_cast<uint32_t>(text_.size());
  header.examples = static_cast<uint32_t>(starts_.size());
  header.adapter = adapter;
  std::vector<uint8_t> symbols(text_.size() * header.symbol_bytes);
  for (size_t i = 0; i < text_.size(); ++i) std::memcpy(&symbols[i * header.symbol_bytes], &text_[i], header.symbol_bytes);
  const std::vector<uint32_t> suffixes = suffix_array(text_, vocabulary_ + 1);
  header.body = Sha256()
                    .update(symbols.data(), symbols.size())
                    .update(suffixes.data(), suffixes.size() * 4)
                    .update(starts_.data(), starts_.size() * 4)
                    .finish();
  DurableFile file(path);
  file.write(&header, sizeof header);
  file.write(symbols.data(), symbols.size());
  file.write(suffixes.data(), suffixes.size() * 4);
  file.write(starts_.data(), starts_.size() * 4);
  file.finish();
}

}  // namespace colophon
