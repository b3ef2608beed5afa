#include "influence/exact_datainf.h"

namespace colophon {
namespace {

double dot(std::span<const float> a, std::span<const float> b) {
  double sums[16] = {};
  for (size_t i = 0; i < a.size(); ++i) sums[i % 16] += static_cast<double>(a[i]) * static_cast<double>(b[i]);
  double sum = 0;
  for (const double part : sums) sum += part;
  return sum;
}

}  // namespace

std::vector<double> exact_datainf(std::span<const size_t> blocks, std::span<const std::span<const float>> examples,
                                  std::span<const std::span<const float>> queries) {
  const size_t n = examples.size();
  const auto count = static_cast<double>(n);
  std::vector<double> scores(queries.size() * n), gram(n * n), along(n);
  size_t first = 0;
  for (const size_t block : blocks) {
    // All that the form asks of gradients is their inner products.
    const auto of = [&](std::span<const float> gradient) { return gradient.subspan(first, block); };
    double squares = 0;
    for (size_t i = 0; i < n; ++i) {
      for (size_t j = 0; j <= i; ++j) gram[i * n + j] = gram[j * n + i] = dot(of(examples[i]), of(examples[j]));
      squares += gram[i * n + i];
    }
    const double damping = 0.1 * squares / (count * static_cast<double>(block));
    for (size_t q = 0; q < queries.size() && damping > 0; ++q) {
      for (size_t i = 0; i < n; ++i) along[i] = dot(of(queries[q]), of(examples[i]));
      for (size_t k = 0; k < n; ++k) {
        double sum = 0;
        for (size_t i = 0; i < n; ++i) sum += along[k] - along[i] / (damping + gram[i * n + i]) * gram[i * n + k];
        scores[q * n + k] += sum / (count * damping);
      }
    }
    first += block;
  }
  return scores;
}

}  // namespace colophon
