// What a training step costs, in seconds of all cores together (a busy machine stretches the clock, not these): ragged
// examples, like chats with one system prompt, on a rank-16 adapter of all linears.
// Usage: training_bench MODEL.gguf [steps] [threads] [examples] [shared tokens] [own tokens] [targets]

#include <sys/resource.h>

#include <cstdio>
#include <cstdlib>
#include <random>

#include "engine/error.h"
#include "ops/bench.h"
#include "trainer/training.h"

namespace colophon {
namespace {

double cpu_seconds() {
  rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) { return static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec); };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

int run(int argc, char** argv) {
  const auto number = [&](int i, size_t otherwise) { return argc > i ? std::strtoul(argv[i], nullptr, 10) : otherwise; };
  if (argc < 2) {
    std::fprintf(stderr, "usage: training_bench MODEL.gguf [steps] [threads] [examples] [shared] [own] [targets]\n");
    return 2;
  }
  const size_t steps = number(2, 5), examples = number(4, 16), shared = number(5, 24), own = number(6, 25), targets = number(7, 10);
  TrainingOptions options;
  options.model.gguf_path = argv[1];
  options.threads = number(3, 0);
  const Hyperparameters h = ModelFile::open(options.model).hyperparameters();
  for (uint32_t layer = 0; layer < h.layers; ++layer)
    for (size_t i = 0; i < kLinearsPerLayer; ++i) options.modules.push_back({layer, static_cast<Linear>(i), 16, 2, false});
  options.trainer = {.max_rows = 1024, .activation_bytes = size_t{1} << 30};
  Training training(options);
  training.initialise(1);
  std::mt19937 random(1);
  double busy = 0, took = 0, loss = 0, norm = 0;
  size_t tokens = 0;
  for (size_t step = 0; step <= steps; ++step) {
    std::vector<TrainingExample> batch(examples);
    for (TrainingExample& example : batch) {
      const size_t length = shared + own * 3 / 4 + random() % (own / 2 + 1);
      for (size_t i = 0; i < length; ++i) {
        example.tokens.push_back(static_cast<int32_t>(i < shared ? 7 * i + 1 : random() % h.vocabulary));
        example.weights.push_back(i > 0 && i + targets >= length ? 1.0f : 0.0f);
      }
      if (step > 0) tokens += length;
    }
    const double before = cpu_seconds(), began = bench::seconds();
    const TrainingStep done = training.step(batch, {1e-4, 1.0, {}});
    loss = done.losses[0].loss, norm = done.gradient_norm;
    if (step == 0) continue;  // what is read and made at first
    busy += cpu_seconds() - before;
    took += bench::seconds() - began;
  }
  std::printf("%zu threads, %s: %.1f tokens a step, %.3f CPU s a step, %.3f s, %.0f tokens per CPU s; loss %.6f, norm %.6f; %zu MB\n",
              training.info().threads, to_string(training.info().isa).data(), static_cast<double>(tokens) / static_cast<double>(steps),
              busy / static_cast<double>(steps), took / static_cast<double>(steps), static_cast<double>(tokens) / busy, loss, norm,
              training.info().bytes >> 20);
  return 0;
}

}  // namespace
}  // namespace colophon

int main(int argc, char** argv) {
  try {
    return colophon::run(argc, argv);
  } catch (const colophon::Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
