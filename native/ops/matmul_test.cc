#include "ops/matmul.h"

#include "ops/op_testing.h"
#include "testing/test.h"

using namespace colophon;
using namespace colophon::testing;

namespace {

struct Shape {
  size_t m, n, k;
  bool a_transposed, b_transposed, accumulate, panels = false;
};

std::vector<float> run(Isa isa, size_t threads, const Shape& shape, const std::vector<float>& a, const std::vector<float>& b,
                       const std::vector<float>& c, size_t first = 0, size_t depth = ~size_t{0}) {
  std::vector<float> out = c;
  MatmulCall call{a.data(), shape.k, 1, b.data(), shape.n, 1, out.data(), shape.n + 3, shape.m, shape.n, shape.k, shape.accumulate};
  if (shape.a_transposed) call.a_row = 1, call.a_step = shape.m;
  if (shape.b_transposed) call.b_row = 1, call.b_step = shape.k;
  const size_t panel = shape.k * 16 + 48;  // with what is not read behind it
  std::vector<float> panels((shape.n + 15) / 16 * panel);
  if (shape.panels) {
    for (size_t j = 0; j < shape.k; ++j)
      for (size_t n = 0; n < shape.n; ++n) panels[n / 16 * panel + j * 16 + n % 16] = b[j * call.b_row + n * call.b_step];
    call.b = panels.data();
    call.panel = panel;
  }
  if (depth < shape.k) {
    call.a += first * call.a_step;
    call.b += first * call.b_row;
    call.k = depth;
  }
  ThreadPool pool(threads);
  OpContext context{pool, isa};
  matmul(context, {&call, 1});
  return out;
}

}  // namespace

TEST(matmul_gives_the_references_bits) {
  std::mt19937 random(5);
  for (int round = 0; round < 60; ++round) {
    const Shape shape{between(1, 220, random), between(1, round % 8 == 0 ? 600 : 70, random),
                      between(1, round % 4 == 0 ? 700 : 80, random), random() % 2 == 0, random() % 2 == 0, random() % 2 == 0};
    const std::vector<float> a = random_floats(shape.m * shape.k, random), b = random_floats(shape.k * shape.n, random);
    const std::vector<float> c = random_floats(shape.m * (shape.n + 3), random);
    const std::vector<float> expected = run(Isa::reference, 1, shape, a, b, c);
    Shape panels = shape;
    panels.panels = true;
    for (const Isa isa : supported_isas())
      for (const size_t threads : {1u, 3u}) {
        CHECK(same_bits(expected, run(isa, threads, shape, a, b, c)));
        CHECK(same_bits(expected, run(isa, threads, panels, a, b, c)));
      }
  }
}

TEST(matmul_is_a_sum_of_products) {
  const std::vector<float> a{1, 2, 3, 4, 5, 6}, b{7, 8, 9, 10, 11, 12};
  // 2 x 3 times 3 x 2, added to ones; rows of c are five floats apart.
  const std::vector<float> c(10, 1);
  const std::vector<float> out = run(Isa::reference, 1, {2, 2, 3, false, false, true}, a, b, c);
  const std::vector<float> expected{59, 65, 1, 1, 1, 140, 155, 1, 1, 1};
  CHECK(same_bits(out, expected));
}

TEST(matmul_can_be_continued_at_any_depth) {
  std::mt19937 random(6);
  const Shape shape{50, 40, 300, true, false, true};
  const std::vector<float> a = random_floats(shape.m * shape.k, random), b = random_floats(shape.k * shape.n, random);
  const std::vector<float> c = random_floats(shape.m * (shape.n + 3), random);
  for (const Isa isa : supported_isas()) {
    const std::vector<float> whole = run(isa, 2, shape, a, b, c);
    for (const size_t cut : {1u, 77u, 256u, 299u})
      CHECK(same_bits(whole, run(isa, 2, shape, a, b, run(isa, 2, shape, a, b, c, 0, cut), cut, shape.k - cut)));
  }
}

TEST(matmul_goes_on_with_its_sums) {
  std::mt19937 random(7);
  const size_t m = 110, n = 800, k = 60, more = 16;
  const std::vector<float> a = random_floats(m * k, random), b = random_floats(k * n, random);
  const std::vector<float> low = random_floats(m * more, random), up = random_floats(more * n, random);
  ThreadPool pool(2);
  for (const Isa isa : supported_isas()) {
    OpContext context{pool, isa};
    std::vector<float> once(m * n), twice(m * n);
    const auto first = [&](std::vector<float>& c) {
      return MatmulCall{a.data(), k, 1, b.data(), n, 1, c.data(), n, m, n, k};
    };
    const auto second = [&](std::vector<float>& c) {
      return MatmulCall{low.data(), more, 1, up.data(), n, 1, c.data(), n, m, n, more, true};
    };
    MatmulCall call = first(once);
    const MatmulCall then = second(once);
    call.then = &then;
    matmul(context, {&call, 1});
    const MatmulCall one = first(twice), other = second(twice);
    matmul(context, {&one, 1});
    matmul(context, {&other, 1});
    CHECK(same_bits(once, twice));
  }
}
