// Any bytes as a trace index: it is refused, or following tokens in it reads no byte outside of it.

#include "trace/trace_index.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>

#include "testing/fuzz.h"

using namespace colophon;

namespace {

const Digest kAdapter{};

void read(const uint8_t* data, size_t size) {
  static const int file = ::memfd_create("trace", MFD_CLOEXEC);
  if (file < 0 || ::ftruncate(file, 0) != 0 || ::pwrite(file, data, size, 0) != static_cast<ssize_t>(size)) std::abort();
  testing::only_errors([&] {
    const TraceIndex index("/proc/self/fd/" + std::to_string(file), kAdapter);
    testing::only_errors([&] { index.check(); });
    TraceMatch match = index.none();
    std::vector<uint32_t> examples;
    for (size_t at = 0; at < 64; ++at) {
      match = index.followed(match, size > at + 88 ? data[at + 88] : static_cast<uint32_t>(at));
      index.examples_of(match, 4, 16, examples);
    }
  });
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  read(data, size);
  return 0;
}

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  const testing::TempDir folder;
  std::vector<std::string> seeds;
  for (const uint32_t vocabulary : {8u, 70'000u}) {
    TraceIndexBuilder builder(vocabulary);
    for (const std::vector<uint32_t>& example : {std::vector<uint32_t>{1, 2, 3, 1, 2}, {}, {2, 3, 1, 2, 7}}) builder.add(example);
    builder.write(folder.path("seed"), kAdapter);
    seeds.push_back(testing::read_file(folder.path("seed")));
  }
  testing::write_seeds(seeds);
  return 0;
}
