#include "influence/influence_scores.h"

#include <cmath>
#include <random>

#include "engine/error.h"
#include "influence/exact_datainf.h"
#include "testing/files.h"
#include "testing/test.h"

namespace colophon {
namespace {

const Digest kAdapter = sha256("adapter", 7);
using Rows = std::vector<std::vector<float>>;

/// An index of examples whose gradients are given at each checkpoint; states are {1, loss}.
std::shared_ptr<const InfluenceIndex> index_of(const testing::TempDir& folder, const InfluenceLayout& layout,
                                               const std::vector<Rows>& gradients, const Rows& scaled = {}) {
  InfluenceWriter writer(folder.path("index"), kAdapter, layout);
  std::vector<uint8_t> bytes;
  for (uint32_t i = 0; i < layout.examples; ++i) append_state_row(layout, 0, std::vector<float>{1, static_cast<float>(i)}, bytes);
  for (const Rows& checkpoint : gradients)
    for (uint32_t i = 0; i < layout.examples; ++i)
      append_gradient_row(layout, static_cast<float>(i) + 1, checkpoint[i], scaled.empty() ? std::vector<float>{} : scaled[i], bytes);
  writer.add(bytes);
  writer.finish();
  return std::make_shared<const InfluenceIndex>(folder.path("index"), kAdapter);
}

void check_near(const std::vector<double>& found, const std::vector<double>& expected, double tolerance) {
  CHECK_EQ(found.size(), expected.size());
  double largest = 0;
  for (const double value : expected) largest = std::max(largest, std::abs(value));
  for (size_t i = 0; i < std::min(found.size(), expected.size()); ++i)
    if (!(std::abs(found[i] - expected[i]) <= tolerance * largest)) CHECK_EQ(found[i], expected[i]);
}

Rows random_rows(std::mt19937& random, size_t count, size_t width) {
  std::normal_distribution<float> normal;
  Rows rows(count, std::vector<float>(width));
  for (auto& row : rows)
    for (float& value : row) value = normal(random);
  return rows;
}

std::vector<double> sums(const std::vector<double>& scores, size_t rows) {
  const size_t examples = scores.size() / rows;
  std::vector<double> out(examples);
  for (size_t i = 0; i < scores.size(); ++i) out[i % examples] += scores[i];
  return out;
}

TEST(influence_scores_as_reckoned_by_hand) {
  const testing::TempDir folder;
  // One block, rounded to 127 steps of its largest value: these are kept exactly.
  const InfluenceLayout layout{2, 2, 4, 0, true, {4}, {2, 0.5}};
  const Rows first{{127, 0, 0, 0}, {0, 127, 0, 0}}, second{{0, 0, 127, 0}, {127, 127, 0, 0}};
  const InfluenceScores scores(index_of(folder, layout, {first, second}, {{127, 127, 0, 0}, {0, 0, 0, 127}}));
  InfluenceQuery query;
  query.states = {3, 4};
  query.gradients = {{1, 2, 0, 0}, {3, 0, 0, 4}};
  check_near(scores.scores(InfluenceMethod::repsim, query), {0.6, (0.6 + 0.8) / std::sqrt(2.0)}, 1e-3);
  check_near(scores.scores(InfluenceMethod::grad_dot, query), {2 * 127, 2 * 254 + 0.5 * 381}, 1e-9);
  const double five = std::sqrt(5.0), two = std::sqrt(2.0);
  check_near(scores.scores(InfluenceMethod::cosine, query), {0.8 / five, 0.8 * 2 / five + 0.2 * 3 / (5 * two)}, 1e-9);
  check_near(scores.scores(InfluenceMethod::less, query), {0.8 * 3 / (five * two) + 0.2 * 3 / (5 * two), 0.2 * 0.8}, 1e-9);
  check_near(scores.scores(InfluenceMethod::loss, query), {-1, -2}, 0);
  // What is known of one checkpoint alone.
  query.gradients = {{}, {3, 0, 0, 4}};
  check_near(scores.scores(InfluenceMethod::cosine, query), {0, 3 / (5 * two)}, 1e-9);
  // H = diag(127^2 / 2) + what the second example has off the diagonal; checked by multiplying back.
  const double h = 127.0 * 127.0 / 2, damping = 0.1 * 3 * h / 4;
  const double a = h + damping, b = h;  // [[a, b], [b, a]] over the first two values
  check_near(scores.scores(InfluenceMethod::logra, query), {0, 127 * 3 * (a - b) / (a * a - b * b)}, 1e-9);
}

TEST(influence_datainf_is_the_exact_one_where_nothing_is_projected) {
  std::mt19937 random(8);
  const testing::TempDir folder;
  const InfluenceLayout layout{2, 20, 8, 0, false, {8, 8, 8}, {1}};
  const Rows examples = random_rows(random, 20, 24), queries = random_rows(random, 3, 24);
  const InfluenceScores scores(index_of(folder, layout, {examples}));
  const std::vector<std::span<const float>> all(examples.begin(), examples.end()), asked(queries.begin(), queries.end());
  const std::vector<size_t> blocks{8, 8, 8};
  const std::vector<double> exact = exact_datainf(blocks, all, asked);
  for (size_t q = 0; q < queries.size(); ++q) {
    InfluenceQuery query;
    query.gradients = {queries[q]};
    const std::vector<double> expected(exact.begin() + static_cast<std::ptrdiff_t>(q * 20), exact.begin() + static_cast<std::ptrdiff_t>((q + 1) * 20));
    check_near(scores.scores(InfluenceMethod::datainf, query), expected, 0.02);  // int8
  }
}

TEST(influence_trak_solves_for_the_second_moments_of_directions) {
  std::mt19937 random(6);
  const testing::TempDir folder;
  const size_t width = 12, count = 9;
  const InfluenceLayout layout{2, count, 4, 0, false, {40, 4, 50}, {1, 3}};
  const std::vector<Rows> checkpoints{random_rows(random, count, width), random_rows(random, count, width)};
  const auto index = index_of(folder, layout, checkpoints);
  const InfluenceScores scores(index);
  InfluenceQuery query;
  query.gradients = {random_rows(random, 1, width)[0], random_rows(random, 1, width)[0]};
  const auto at_length_one = [](std::vector<double> row) {
    double square = 0;
    for (const double value : row) square += value * value;
    for (double& value : row) value /= std::sqrt(square);
    return row;
  };
  // What the index has, as it rounded it.
  const auto row = [&](size_t checkpoint, uint32_t example) {
    const InfluenceIndex::Gradient gradient = index->gradient(checkpoint, example);
    std::vector<double> out(width);
    for (size_t i = 0; i < width; ++i) out[i] = static_cast<double>(gradient.scale(i / 4)) * static_cast<double>(gradient.steps[i]);
    return at_length_one(out);
  };
  // (H + 0.025) x = q by Gauss's elimination, at each checkpoint.
  std::vector<double> expected(count);
  for (size_t checkpoint = 0; checkpoint < 2; ++checkpoint) {
    std::vector<std::vector<double>> h(width, std::vector<double>(width + 1));
    for (uint32_t example = 0; example < count; ++example)
      for (size_t i = 0; i < width; ++i)
        for (size_t j = 0; j < width; ++j) h[i][j] += row(checkpoint, example)[i] * row(checkpoint, example)[j] / static_cast<double>(count);
    const std::vector<double> q = at_length_one({query.gradients[checkpoint].begin(), query.gradients[checkpoint].end()});
    for (size_t i = 0; i < width; ++i) {
      h[i][i] += 0.025;
      h[i][width] = q[i];
    }
    for (size_t i = 0; i < width; ++i)
      for (size_t j = 0; j < width; ++j) {
        if (j == i) continue;
        const double factor = h[j][i] / h[i][i];
        for (size_t k = i; k <= width; ++k) h[j][k] -= factor * h[i][k];
      }
    for (uint32_t example = 0; example < count; ++example)
      for (size_t i = 0; i < width; ++i) expected[example] += row(checkpoint, example)[i] * h[i][width] / h[i][i] / 2;
  }
  check_near(scores.scores(InfluenceMethod::trak, query), expected, 1e-6);
  // What is known of one checkpoint alone.
  query.gradients[0].clear();
  const std::vector<double> last = scores.scores(InfluenceMethod::trak, query);
  query.gradients.erase(query.gradients.begin());
  query.gradients.push_back({});
  CHECK(last != scores.scores(InfluenceMethod::trak, query));
}

TEST(influence_trak_tells_second_moments_by_some_of_many_examples) {
  std::mt19937 random(3);
  const testing::TempDir folder;
  const InfluenceLayout layout{2, 3000, 4, 0, false, {40}, {1}};
  const InfluenceScores scores(index_of(folder, layout, {random_rows(random, 3000, 4)}));
  InfluenceQuery query;
  query.gradients = {{1, 2, 3, 4}};
  // Directions are even, so H is about 1/4 in each of the four values.
  const std::vector<double> trak = scores.scores(InfluenceMethod::trak, query), cosine = scores.scores(InfluenceMethod::cosine, query);
  for (size_t i = 0; i < trak.size(); ++i) CHECK(std::abs(trak[i] - cosine[i] / 0.275) < 0.5);
  CHECK(trak == scores.scores(InfluenceMethod::trak, query));
}

TEST(influence_tokens_scores_add_up_to_the_answers) {
  std::mt19937 random(4);
  const testing::TempDir folder;
  const InfluenceLayout layout{2, 9, 8, 0, true, {30, 8, 500}, {0.1, 0.2}};
  const InfluenceScores scores(
      index_of(folder, layout, {random_rows(random, 9, 24), random_rows(random, 9, 24)}, random_rows(random, 9, 24)));
  InfluenceQuery tokens, whole;
  tokens.rows = 5;
  const auto rows = [&](size_t width) {
    std::vector<float> all;
    for (const auto& row : random_rows(random, 5, width)) all.insert(all.end(), row.begin(), row.end());
    return all;
  };
  const auto added = [](const std::vector<float>& of) {
    std::vector<float> out(of.size() / 5);
    for (size_t i = 0; i < of.size(); ++i) out[i % out.size()] += of[i];
    return out;
  };
  tokens.states = rows(2);
  tokens.gradients = {rows(24), rows(24)};
  whole.states = added(tokens.states);
  whole.gradients = {added(tokens.gradients[0]), added(tokens.gradients[1])};
  for (const InfluenceMethod method : {InfluenceMethod::repsim, InfluenceMethod::grad_dot, InfluenceMethod::cosine, InfluenceMethod::less,
                                       InfluenceMethod::datainf, InfluenceMethod::logra, InfluenceMethod::trak, InfluenceMethod::loss}) {
    const std::vector<double> by_token = scores.scores(method, tokens);
    CHECK_EQ(by_token.size(), 45u);
    check_near(sums(by_token, 5), scores.scores(method, whole), 1e-5);
    CHECK(by_token == scores.scores(method, tokens));
  }
}

TEST(influence_of_what_has_no_gradient_is_none) {
  const testing::TempDir folder;
  const InfluenceLayout layout{2, 2, 4, 0, false, {4, 4}, {1}};
  const InfluenceScores scores(index_of(folder, layout, {{{0, 0, 0, 0, 0, 0, 0, 0}, {1, 2, 3, 4, 0, 0, 0, 0}}}));
  InfluenceQuery query;
  query.gradients = {{1, 1, 1, 1, 1, 1, 1, 1}};
  for (const InfluenceMethod method :
       {InfluenceMethod::grad_dot, InfluenceMethod::cosine, InfluenceMethod::datainf, InfluenceMethod::logra, InfluenceMethod::trak}) {
    const std::vector<double> found = scores.scores(method, query);
    CHECK_EQ(found[0], 0.0);
    CHECK(found[1] > 0 && std::isfinite(found[1]));
  }
  query.gradients = {std::vector<float>(8)};
  CHECK_EQ(scores.scores(InfluenceMethod::cosine, query)[1], 0.0);
  CHECK_EQ(scores.scores(InfluenceMethod::trak, query)[1], 0.0);
  query.states = {0, 0};
  CHECK_EQ(scores.scores(InfluenceMethod::repsim, query)[1], 0.0);
}

TEST(influence_refuses_a_query_that_lacks_what_it_needs) {
  const testing::TempDir folder;
  const InfluenceLayout layout{2, 1, 4, 0, false, {4}, {1}};
  const InfluenceScores scores(index_of(folder, layout, {{{1, 2, 3, 4}}}));
  InfluenceQuery query;
  CHECK_THROWS("has no gradient", scores.scores(InfluenceMethod::cosine, query));
  CHECK_THROWS("1 rows of 2 are needed", scores.scores(InfluenceMethod::repsim, query));
  query.gradients = {{1, 2, 3}};
  CHECK_THROWS("1 rows of 4 are needed", scores.scores(InfluenceMethod::logra, query));
  query.gradients = {{1, 2, 3, NAN}};
  CHECK_THROWS("not finite", scores.scores(InfluenceMethod::grad_dot, query));
  query.gradients = {{1, 2, 3, 4}, {1, 2, 3, 4}};
  CHECK_THROWS("at 2 checkpoints", scores.scores(InfluenceMethod::grad_dot, query));
  query.gradients.pop_back();
  CHECK_THROWS("which less needs", scores.scores(InfluenceMethod::less, query));
  query.rows = 0;
  CHECK_THROWS("no row", scores.scores(InfluenceMethod::loss, query));
  CHECK_THROWS("no influence method \"best\"", parse_influence_method("best"));
}

}  // namespace
}  // namespace colophon
