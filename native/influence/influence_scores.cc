#include "influence/influence_scores.h"

#include <cmath>
#include <cstring>

#include "engine/error.h"
#include "loader/describe.h"
#include "ops/simd.h"

namespace colophon {
namespace {

[[noreturn]] void invalid(const std::string& sentence) { throw Error(ErrorCode::invalid_argument, sentence); }

constexpr const char* kNames[] = {"repsim", "grad-dot", "cosine", "less", "datainf", "logra", "trak", "loss"};
constexpr double kDamping = 0.1;  ///< of the mean eigenvalue: DataInf's choice, and LoGra's
/// Of the mean square of the gradients' lengths, which are 1: chosen on the bench's adapter, where a third of it and four times it foretell
/// nearly as well.
constexpr double kKernelDamping = 0.025;
constexpr size_t kMostKernelExamples = 1024;  ///< a mean of outer products changes little with more of them

/// u . g, four sums side by side: a processor adds them at once.
double dot(const InfluenceLayout& layout, const double* u, const InfluenceIndex::Gradient& g) {
  double total = 0;
  for (size_t block = 0; block < layout.blocks.size(); ++block) {
    const double* const from = u + block * layout.dims;
    const int8_t* const steps = g.steps + block * layout.dims;
    double sums[4] = {};
    size_t i = 0;
    for (; i + 4 <= layout.dims; i += 4)
      for (size_t lane = 0; lane < 4; ++lane) sums[lane] += from[i + lane] * static_cast<double>(steps[i + lane]);
    for (; i < layout.dims; ++i) sums[i % 4] += from[i] * static_cast<double>(steps[i]);
    total += static_cast<double>(g.scale(block)) * ((sums[0] + sums[1]) + (sums[2] + sums[3]));
  }
  return total;
}

/// The square of one block's length.
double square(const InfluenceLayout& layout, const InfluenceIndex::Gradient& g, size_t block) {
  int64_t sum = 0;
  for (size_t i = 0; i < layout.dims; ++i) {
    const int64_t step = g.steps[block * layout.dims + i];
    sum += step * step;
  }
  const auto scale = static_cast<double>(g.scale(block));
  return scale * scale * static_cast<double>(sum);
}

double length(const InfluenceLayout& layout, const InfluenceIndex::Gradient& g) {
  double sum = 0;
  for (size_t block = 0; block < layout.blocks.size(); ++block) sum += square(layout, g, block);
  return std::sqrt(sum);
}

/// Of the sum of rows[count][width].
double length_of_sum(const std::vector<double>& rows, size_t count, size_t width) {
  double square = 0;
  for (size_t column = 0; column < width; ++column) {
    double sum = 0;
    for (size_t row = 0; row < count; ++row) sum += rows[row * width + column];
    square += sum * sum;
  }
  return std::sqrt(square);
}

/// Rows of a query as doubles, checked.
std::vector<double> widened(const std::vector<float>& values, size_t rows, size_t width, const char* what) {
  if (rows == 0) invalid("the query has no row");
  if (values.size() != rows * width)
    invalid(std::string(what) + " of the query has " + std::to_string(values.size()) + " values; " + std::to_string(rows) +
            " rows of " + std::to_string(width) + " are needed");
  for (const float value : values)
    if (!std::isfinite(value)) invalid(std::string(what) + " of the query has a value that is not finite");
  return {values.begin(), values.end()};
}

/// The product of two rows, block by block: of steps in whole numbers, which no order changes.
double product(const InfluenceLayout& layout, const InfluenceIndex::Gradient& a, const InfluenceIndex::Gradient& b) {
  double total = 0;
  for (size_t block = 0; block < layout.blocks.size(); ++block) {
    int32_t sum = 0;
    for (size_t i = block * layout.dims; i < (block + 1) * layout.dims; ++i) sum += int32_t{a.steps[i]} * int32_t{b.steps[i]};
    total += static_cast<double>(a.scale(block)) * static_cast<double>(b.scale(block)) * static_cast<double>(sum);
  }
  return total;
}

/// Cholesky's factor of a symmetric positive definite matrix[n][n], below its diagonal and on it.
std::vector<double> cholesky(const double* matrix, size_t n) {
  std::vector<double> lower(n * n);
  for (size_t i = 0; i < n; ++i)
    for (size_t j = 0; j <= i; ++j) {
      double sum = matrix[i * n + j];
      for (size_t k = 0; k < j; ++k) sum -= lower[i * n + k] * lower[j * n + k];
      lower[i * n + j] = i == j ? std::sqrt(sum) : sum / lower[j * n + j];
    }
  return lower;
}

/// Solves lower lower^T x = values, in place.
void solve(const std::vector<double>& lower, std::vector<double>& values) {
  const size_t n = values.size();
  for (size_t i = 0; i < n; ++i) {
    for (size_t k = 0; k < i; ++k) values[i] -= lower[i * n + k] * values[k];
    values[i] /= lower[i * n + i];
  }
  for (size_t i = n; i-- > 0;) {
    values[i] /= lower[i * n + i];
    for (size_t k = 0; k < i; ++k) values[k] -= lower[i * n + k] * values[i];
  }
}

/// The inverse of a symmetric positive definite matrix[n][n], in place.
void invert(double* matrix, size_t n) {
  const std::vector<double> lower = cholesky(matrix, n);
  std::vector<double> inverse(n * n);
  for (size_t column = 0; column < n; ++column)  // inverse = lower^-1
    for (size_t i = column; i < n; ++i) {
      double sum = i == column ? 1 : 0;
      for (size_t k = column; k < i; ++k) sum -= lower[i * n + k] * inverse[k * n + column];
      inverse[i * n + column] = sum / lower[i * n + i];
    }
  for (size_t i = 0; i < n; ++i)
    for (size_t j = 0; j < n; ++j) {
      double sum = 0;
      for (size_t k = std::max(i, j); k < n; ++k) sum += inverse[k * n + i] * inverse[k * n + j];
      matrix[i * n + j] = sum;
    }
}

}  // namespace

std::vector<double> InfluenceScores::scores(InfluenceMethod method, const InfluenceQuery& query) const {
  switch (method) {
    case InfluenceMethod::repsim: return of_states(query);
    case InfluenceMethod::grad_dot:
    case InfluenceMethod::cosine:
    case InfluenceMethod::less: return of_gradients(method, query);
    case InfluenceMethod::datainf:
    case InfluenceMethod::logra: return of_curvature(method, query);
    case InfluenceMethod::trak: return of_kernel(query);
    case InfluenceMethod::loss: return of_losses(query);
  }
  throw Error(ErrorCode::internal, "there is no such influence method");
}

std::vector<double> InfluenceScores::of_states(const InfluenceQuery& query) const {
  const InfluenceLayout& layout = index_->layout();
  const size_t hidden = layout.hidden, examples = layout.examples;
  const std::vector<double> rows = widened(query.states, query.rows, hidden, "the state");
  const double size = length_of_sum(rows, query.rows, hidden);
  std::vector<double> out(query.rows * examples), state(hidden);
  for (uint32_t example = 0; example < examples && size > 0; ++example) {
    for (size_t i = 0; i < hidden; ++i) {
      uint16_t half;
      std::memcpy(&half, index_->state(example) + 2 * i, sizeof half);
      state[i] = static_cast<double>(simd::f16_to_f32(half));
    }
    for (size_t row = 0; row < query.rows; ++row) {
      double sum = 0;
      for (size_t i = 0; i < hidden; ++i) sum += rows[row * hidden + i] * state[i];
      out[row * examples + example] = sum / size;
    }
  }
  return out;
}

std::vector<double> InfluenceScores::of_gradients(InfluenceMethod method, const InfluenceQuery& query) const {
  const InfluenceLayout& layout = index_->layout();
  const size_t examples = layout.examples, width = layout.width();
  const size_t last = last_known(query);
  const bool preconditioned = method == InfluenceMethod::less, normalised = method != InfluenceMethod::grad_dot;
  if (preconditioned && !layout.preconditioned) invalid("the influence index has no gradients as AdamW scales them, which less needs");
  double all = 0, known = 0;
  for (size_t checkpoint = 0; checkpoint <= last; ++checkpoint) {
    if (query.gradients[checkpoint].empty()) continue;
    all += layout.rates[checkpoint];
    ++known;
  }
  std::vector<double> out(query.rows * examples);
  for (size_t checkpoint = 0; checkpoint <= last; ++checkpoint) {
    if (query.gradients[checkpoint].empty()) continue;
    const std::vector<double> rows = widened(query.gradients[checkpoint], query.rows, width, "a gradient");
    double weight = layout.rates[checkpoint];
    if (normalised) {
      const double size = length_of_sum(rows, query.rows, width);
      if (!(size > 0)) continue;
      weight = (all > 0 ? weight / all : 1 / known) / size;
    }
    for (uint32_t example = 0; example < examples; ++example) {
      const InfluenceIndex::Gradient gradient = index_->gradient(checkpoint, example, preconditioned);
      const double size = normalised ? length(layout, gradient) : 1;
      if (!(size > 0)) continue;
      for (size_t row = 0; row < query.rows; ++row)
        out[row * examples + example] += weight * dot(layout, &rows[row * width], gradient) / size;
    }
  }
  return out;
}

std::vector<double> InfluenceScores::of_curvature(InfluenceMethod method, const InfluenceQuery& query) const {
  const InfluenceLayout& layout = index_->layout();
  const size_t examples = layout.examples, width = layout.width(), dims = layout.dims, last = last_known(query);
  const std::vector<double> rows = widened(query.gradients[last], query.rows, width, "a gradient");
  const std::shared_ptr<const Curvature> inverse = curvature(method, last);
  std::vector<double> turned(rows.size());
  for (size_t at = 0; at < rows.size(); ++at) {
    const size_t block = at % width / dims, i = at % dims, first = at - i;
    for (size_t j = 0; j < dims; ++j) turned[at] += (*inverse)[(block * dims + i) * dims + j] * rows[first + j];
  }
  std::vector<double> out(query.rows * examples);
  for (uint32_t example = 0; example < examples; ++example) {
    const InfluenceIndex::Gradient gradient = index_->gradient(last, example);
    for (size_t row = 0; row < query.rows; ++row) out[row * examples + example] = dot(layout, &turned[row * width], gradient);
  }
  return out;
}

/// With the rows of some examples at length 1 as Phi[m], (Phi^T Phi / m + d)^-1 = (1 - Phi^T (Phi Phi^T + m d)^-1 Phi) / d (Woodbury): no matrix
/// is wider than m, and the query is turned once for all examples.
std::vector<double> InfluenceScores::of_kernel(const InfluenceQuery& query) const {
  const InfluenceLayout& layout = index_->layout();
  const size_t examples = layout.examples, width = layout.width(), last = last_known(query);
  double known = 0;
  for (size_t checkpoint = 0; checkpoint <= last; ++checkpoint) known += query.gradients[checkpoint].empty() ? 0 : 1;
  std::vector<double> out(query.rows * examples);
  for (size_t checkpoint = 0; checkpoint <= last; ++checkpoint) {
    if (query.gradients[checkpoint].empty()) continue;
    std::vector<double> rows = widened(query.gradients[checkpoint], query.rows, width, "a gradient");
    const double size = length_of_sum(rows, query.rows, width);
    if (!(size > 0)) continue;
    const std::shared_ptr<const Kernel> of = kernel(checkpoint);
    std::vector<double> lengths(examples);
    for (uint32_t example = 0; example < examples; ++example) lengths[example] = length(layout, index_->gradient(checkpoint, example));
    for (size_t row = 0; row < query.rows; ++row) {
      double* const turned = &rows[row * width];
      std::vector<double> parts(of->examples.size());
      for (size_t i = 0; i < parts.size(); ++i) {
        const uint32_t example = of->examples[i];
        if (lengths[example] > 0) parts[i] = dot(layout, turned, index_->gradient(checkpoint, example)) / lengths[example];
      }
      solve(of->lower, parts);
      for (size_t i = 0; i < parts.size(); ++i) {
        const uint32_t example = of->examples[i];
        if (!(lengths[example] > 0)) continue;
        const InfluenceIndex::Gradient gradient = index_->gradient(checkpoint, example);
        for (size_t at = 0; at < width; ++at)
          turned[at] -= parts[i] / lengths[example] * static_cast<double>(gradient.scale(at / layout.dims)) * static_cast<double>(gradient.steps[at]);
      }
      for (uint32_t example = 0; example < examples; ++example)
        if (lengths[example] > 0)
          out[row * examples + example] +=
              dot(layout, turned, index_->gradient(checkpoint, example)) / (lengths[example] * size * kKernelDamping * known);
    }
  }
  return out;
}

std::vector<double> InfluenceScores::of_losses(const InfluenceQuery& query) const {
  const size_t examples = index_->layout().examples, last = index_->layout().rates.size() - 1;
  if (query.rows == 0) invalid("the query has no row");
  std::vector<double> out(query.rows * examples);
  for (size_t at = 0; at < out.size(); ++at)
    out[at] = -static_cast<double>(index_->loss(last, static_cast<uint32_t>(at % examples))) / static_cast<double>(query.rows);
  return out;
}

size_t InfluenceScores::last_known(const InfluenceQuery& query) const {
  const size_t checkpoints = index_->layout().rates.size();
  if (query.gradients.size() > checkpoints)
    invalid("the query has gradients at " + std::to_string(query.gradients.size()) + " checkpoints; the influence index has " +
            std::to_string(checkpoints));
  for (size_t checkpoint = query.gradients.size(); checkpoint-- > 0;)
    if (!query.gradients[checkpoint].empty()) return checkpoint;
  invalid("the query has no gradient, which this influence method needs");
}

std::shared_ptr<const InfluenceScores::Curvature> InfluenceScores::curvature(InfluenceMethod method, size_t checkpoint) const {
  std::lock_guard lock(mutex_);
  if (curvature_ && curvature_method_ == method && curvature_checkpoint_ == checkpoint) return curvature_;
  const InfluenceLayout& layout = index_->layout();
  const size_t blocks = layout.blocks.size(), dims = layout.dims;
  std::vector<double> damping(blocks);
  for (uint32_t example = 0; example < layout.examples; ++example)
    for (size_t block = 0; block < blocks; ++block) damping[block] += square(layout, index_->gradient(checkpoint, example), block);
  const bool by_datainf = method == InfluenceMethod::datainf;
  for (size_t block = 0; block < blocks; ++block)
    damping[block] *= kDamping / (static_cast<double>(layout.examples) * static_cast<double>(by_datainf ? layout.blocks[block] : dims));
  Curvature inverse = second_moments(checkpoint, damping, by_datainf);
  for (size_t block = 0; block < blocks; ++block) {
    double* const matrix = &inverse[block * dims * dims];
    if (!(damping[block] > 0)) {  // no example has a gradient there
      std::fill_n(matrix, dims * dims, 0.0);
      continue;
    }
    for (size_t i = 0; i < dims; ++i)
      for (size_t j = 0; j < dims; ++j) {
        double& value = matrix[i * dims + j];
        if (by_datainf) value = ((i == j ? 1.0 : 0.0) - value) / damping[block];
        else if (i == j) value += damping[block];
      }
    if (!by_datainf) invert(matrix, dims);
  }
  curvature_ = std::make_shared<const Curvature>(std::move(inverse));
  curvature_method_ = method;
  curvature_checkpoint_ = checkpoint;
  return curvature_;
}

/// The mean over the examples of g g^T, for DataInf each divided by damping + |g|^2.
InfluenceScores::Curvature InfluenceScores::second_moments(size_t checkpoint, const std::vector<double>& damping, bool by_datainf) const {
  const InfluenceLayout& layout = index_->layout();
  const size_t dims = layout.dims;
  Curvature out(layout.blocks.size() * dims * dims);
  for (uint32_t example = 0; example < layout.examples; ++example) {
    const InfluenceIndex::Gradient gradient = index_->gradient(checkpoint, example);
    for (size_t block = 0; block < layout.blocks.size(); ++block) {
      const int8_t* const steps = gradient.steps + block * dims;
      const auto scale = static_cast<double>(gradient.scale(block));
      if (!(scale > 0)) continue;
      const double of = by_datainf ? damping[block] + square(layout, gradient, block) : 1;
      const double weight = scale * scale / (of * static_cast<double>(layout.examples));
      for (size_t i = 0; i < dims; ++i) {
        const double factor = weight * static_cast<double>(steps[i]);
        double* const row = &out[(block * dims + i) * dims];
        for (size_t j = 0; j < dims; ++j) row[j] += factor * static_cast<double>(steps[j]);
      }
    }
  }
  return out;
}

std::shared_ptr<const InfluenceScores::Kernel> InfluenceScores::kernel(size_t checkpoint) const {
  std::lock_guard lock(mutex_);
  std::shared_ptr<const Kernel>& known = kernels_[checkpoint];
  if (known) return known;
  const InfluenceLayout& layout = index_->layout();
  const size_t count = std::min<size_t>(layout.examples, kMostKernelExamples);
  Kernel made;
  std::vector<double> lengths;
  for (size_t i = 0; i < count; ++i) {
    made.examples.push_back(static_cast<uint32_t>(i * layout.examples / count));
    lengths.push_back(length(layout, index_->gradient(checkpoint, made.examples[i])));
  }
  std::vector<double> products(count * count);
  for (size_t i = 0; i < count; ++i)
    for (size_t j = 0; j <= i; ++j) {
      const double damping = i == j ? static_cast<double>(count) * kKernelDamping : 0;
      const double lengths_product = lengths[i] * lengths[j];
      products[i * count + j] =
          damping + (lengths_product > 0 ? product(layout, index_->gradient(checkpoint, made.examples[i]),
                                                   index_->gradient(checkpoint, made.examples[j])) /
                                               lengths_product
                                         : 0);
    }
  made.lower = cholesky(products.data(), count);
  known = std::make_shared<const Kernel>(std::move(made));
  return known;
}

InfluenceMethod parse_influence_method(const std::string& name) {
  for (size_t i = 0; i < std::size(kNames); ++i)
    if (name == kNames[i]) return static_cast<InfluenceMethod>(i);
  invalid("there is no influence method " + quote(name) + "; there are repsim, grad-dot, cosine, less, datainf, logra, trak and loss");
}

}  // namespace colophon
