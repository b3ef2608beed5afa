// Any bytes as an influence index: it is refused, or scores by it read no byte outside of it.

#include "influence/influence_index.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>

#include "influence/influence_scores.h"
#include "testing/fuzz.h"

using namespace colophon;

namespace {

const Digest kAdapter{};

void read(const uint8_t* data, size_t size) {
  static const int file = ::memfd_create("influence", MFD_CLOEXEC);
  if (file < 0 || ::ftruncate(file, 0) != 0 || ::pwrite(file, data, size, 0) != static_cast<ssize_t>(size)) std::abort();
  testing::only_errors([&] {
    const auto index = std::make_shared<const InfluenceIndex>("/proc/self/fd/" + std::to_string(file), kAdapter);
    testing::only_errors([&] { index->check(); });
    const InfluenceLayout& layout = index->layout();
    const InfluenceScores scores(index);
    InfluenceQuery query;
    query.states.assign(layout.hidden, 1.0f);
    query.gradients.assign(layout.rates.size(), std::vector<float>(layout.width(), 1.0f));
    for (const InfluenceMethod method : {InfluenceMethod::repsim, InfluenceMethod::grad_dot, InfluenceMethod::cosine,
                                         InfluenceMethod::less, InfluenceMethod::datainf, InfluenceMethod::logra,
                                         InfluenceMethod::loss})
      testing::only_errors([&] { scores.scores(method, query); });
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
  for (const bool preconditioned : {false, true}) {
    const InfluenceLayout layout{3, 2, 4, 1, preconditioned, {10, 3}, {0.1, 0.2}};
    InfluenceWriter writer(folder.path("seed"), kAdapter, layout);
    const std::vector<float> gradient{1, 2, 3, 4, 5, -6, 7, 8};
    std::vector<uint8_t> rows;
    for (int i = 0; i < 2; ++i) append_state_row(layout, 1, std::vector<float>{1, 2, 3}, rows);
    for (int i = 0; i < 4; ++i) append_gradient_row(layout, 0.5f, gradient, preconditioned ? gradient : std::vector<float>{}, rows);
    writer.add(rows);
    writer.finish();
    seeds.push_back(testing::read_file(folder.path("seed")));
  }
  testing::write_seeds(seeds);
  return 0;
}
