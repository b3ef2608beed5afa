#include "influence/influence_index.h"

#include "engine/error.h"
#include "ops/simd.h"
#include "testing/files.h"
#include "testing/test.h"

namespace colophon {
namespace {

const Digest kAdapter = sha256("adapter", 7);
const InfluenceLayout kLayout{3, 2, 4, 9, true, {10, 6}, {0.5, 0.25}};

std::vector<uint8_t> rows() {
  std::vector<uint8_t> bytes;
  append_state_row(kLayout, 2.5f, std::vector<float>{3, 0, 4}, bytes);
  append_state_row(kLayout, 3.5f, std::vector<float>{0, 0, 0}, bytes);
  for (size_t i = 0; i < 4; ++i) {
    const auto at = static_cast<float>(i);
    append_gradient_row(kLayout, at, std::vector<float>{127, -1, at, 0, 0, 0, 0, 0}, std::vector<float>{0, 0, 0, 0, 0, 254, at, -at}, bytes);
  }
  return bytes;
}

std::string written(const testing::TempDir& folder) {
  InfluenceWriter writer(folder.path("influence.index"), kAdapter, kLayout);
  const std::vector<uint8_t> bytes = rows();
  writer.add(std::span(bytes).first(7));  // in any pieces
  writer.add(std::span(bytes).subspan(7));
  writer.finish();
  return folder.path("influence.index");
}

TEST(influence_index_gives_what_was_written) {
  const testing::TempDir folder;
  const InfluenceIndex index(written(folder), kAdapter);
  index.check();
  CHECK_EQ(index.layout().seed, 9u);
  CHECK(index.layout().blocks == kLayout.blocks);
  CHECK(index.layout().rates == kLayout.rates);
  CHECK(index.layout().preconditioned);
  CHECK_EQ(index.base_loss(1), 3.5f);
  CHECK_EQ(index.loss(1, 0), 2.0f);
  const auto state = [&](uint32_t example, size_t i) {
    uint16_t half;
    std::memcpy(&half, index.state(example) + 2 * i, 2);
    return simd::f16_to_f32(half);
  };
  CHECK_EQ(state(0, 0), simd::f16_to_f32(simd::f32_to_f16(0.6f)));
  CHECK_EQ(state(0, 2), simd::f16_to_f32(simd::f32_to_f16(0.8f)));
  CHECK_EQ(state(1, 2), 0.0f);
  const InfluenceIndex::Gradient plain = index.gradient(1, 1), scaled = index.gradient(1, 1, true);
  CHECK_EQ(plain.scale(0), 1.0f);
  CHECK_EQ(plain.scale(1), 0.0f);
  CHECK_EQ(static_cast<int>(plain.steps[1]), -1);
  CHECK_EQ(static_cast<int>(plain.steps[2]), 3);
  CHECK_EQ(scaled.scale(1), 2.0f);
  CHECK_EQ(static_cast<int>(scaled.steps[5]), 127);
  CHECK_EQ(static_cast<int>(scaled.steps[6]), 2);
  CHECK_EQ(static_cast<int>(scaled.steps[7]), -1);
}

TEST(influence_index_is_the_same_file_for_the_same_rows) {
  const testing::TempDir folder;
  const std::string once = testing::read_file(written(folder));
  CHECK(once == testing::read_file(written(folder)));
}

TEST(influence_index_is_bounded_by_bytes_of_an_example) {
  InfluenceLayout layout{576, 1, 0, 0, true, std::vector<uint32_t>(420, 9216), {1, 1, 1}};
  layout.dims = dims_within(layout, 40'000);
  CHECK(layout.row_bytes_of_example() <= 40'000);
  CHECK(layout.dims == 8);
  CHECK_THROWS("the least is", dims_within(layout, 1000));
  CHECK_EQ(dims_within(layout, 1 << 30), kMostBlockDims);
}

TEST(influence_index_refuses_what_is_not_it) {
  const testing::TempDir folder;
  const std::string path = written(folder), good = testing::read_file(path);
  CHECK_THROWS("is of another adapter: of", InfluenceIndex(path, sha256("other", 5)));
  CHECK_THROWS("No such file", InfluenceIndex(folder.path("none"), kAdapter));
  CHECK_THROWS("has no whole header", InfluenceIndex(folder.write("short", good.substr(0, 50)), kAdapter));
  CHECK_THROWS("has no whole header", InfluenceIndex(folder.write("tables", good.substr(0, 80)), kAdapter));
  CHECK_THROWS("bytes where its header says", InfluenceIndex(folder.write("cut", good.substr(0, good.size() - 1)), kAdapter));
  CHECK_THROWS("is no influence index", InfluenceIndex(folder.write("other", "x" + good.substr(1)), kAdapter));
  for (const size_t at : {8u, 12u, 16u, 20u, 24u, 28u}) {
    std::string bad = good;
    bad.replace(at, 4, 4, '\xff');
    CHECK_THROWS("header", InfluenceIndex(folder.write("bad", bad), kAdapter));
  }
  for (size_t at = 72; at < good.size(); ++at) {
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ 1);
    const InfluenceIndex index(folder.write("bad", bad), kAdapter);
    CHECK_THROWS("is damaged: its SHA-256", index.check());
  }
}

TEST(influence_writer_writes_all_or_nothing) {
  const testing::TempDir folder;
  const std::string path = folder.path("influence.index");
  const std::vector<uint8_t> bytes = rows();
  {
    InfluenceWriter writer(path, kAdapter, kLayout);
    writer.add(std::span(bytes).first(20));
    CHECK_THROWS("lacks", (writer.finish(), 0));
  }
  {
    InfluenceWriter writer(path, kAdapter, kLayout);
    writer.add(bytes);
    CHECK_THROWS("1 bytes more", (writer.add(std::span(bytes).first(1)), 0));
  }
  CHECK_THROWS("No such file", InfluenceIndex(path, kAdapter));
  CHECK_THROWS("No such file", InfluenceIndex(path + ".part", kAdapter));
  InfluenceLayout none = kLayout;
  none.examples = 0;
  CHECK_THROWS("cannot have 0 examples", InfluenceWriter(path, kAdapter, none));
  InfluenceLayout negative = kLayout;
  negative.rates[0] = -1;
  CHECK_THROWS("a checkpoint's rate is", InfluenceWriter(path, kAdapter, negative));
  std::vector<uint8_t> out;
  const std::vector<float> infinite{INFINITY, 0, 0, 0, 0, 0, 0, 0};
  CHECK_THROWS("is not finite", (append_gradient_row(kLayout, 0, infinite, infinite, out), 0));
}

}  // namespace
}  // namespace colophon
