#include "loader/gguf.h"

#include <cstring>

#include "engine/error.h"
#include "testing/files.h"
#include "testing/test.h"

namespace colophon {
namespace {

using testing::bytes_of;
using testing::GgufWriter;
using testing::TempDir;

GgufFile parse(const std::string& bytes) {
  return GgufFile(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size(), "test.gguf");
}

/// A file with some of everything.
GgufWriter sample() {
  GgufWriter file;
  file.string("general.architecture", "llama").u32("llama.block_count", 30).f32("llama.rope.freq_base", 1e5f);
  file.array("tokens", 8, 2, GgufWriter::text("<s>") + GgufWriter::text("\xff"));
  file.tensor("weight", 0, {2, 3}, std::string(24, 'a')).tensor("norm", 1, {4}, std::string(8, 'b'));
  return file;
}

struct TypeCase {
  uint32_t number;
  DType type;
  size_t bytes;  ///< of [3][256]
};
constexpr TypeCase kTypeCases[] = {
    {0, DType::f32, 3072}, {1, DType::f16, 1536}, {30, DType::bf16, 1536}, {8, DType::q8_0, 816},
    {2, DType::q4_0, 432}, {3, DType::q4_1, 480}, {12, DType::q4_k, 432},  {14, DType::q6_k, 630},
};

}  // namespace

TEST(gguf_reads_every_metadata_type) {
  GgufWriter file;
  file.value("u8", 0, bytes_of(uint8_t{200})).value("i8", 1, bytes_of(int8_t{-5}));
  file.value("u16", 2, bytes_of(uint16_t{60000})).value("i16", 3, bytes_of(int16_t{-300}));
  file.value("u32", 4, bytes_of(uint32_t{4000000000})).value("i32", 5, bytes_of(int32_t{-70000}));
  file.value("f32", 6, bytes_of(0.5f)).value("bool", 7, bytes_of(uint8_t{1})).string("string", "text\n");
  file.value("u64", 10, bytes_of(~uint64_t{0})).value("i64", 11, bytes_of(int64_t{-1} << 60));
  file.value("f64", 12, bytes_of(-0.1));
  const GgufFile gguf = parse(file.build());
  CHECK_EQ(gguf.metadata().size(), 12u);
  CHECK_EQ(gguf.unsigned_value("u8").value(), 200u);
  CHECK_EQ(std::get<int64_t>(*gguf.find_value("i8")), -5);
  CHECK_EQ(gguf.unsigned_value("u16").value(), 60000u);
  CHECK_EQ(std::get<int64_t>(*gguf.find_value("i16")), -300);
  CHECK_EQ(gguf.unsigned_value("u32").value(), 4000000000u);
  CHECK_EQ(gguf.number_value("i32").value(), -70000.0);
  CHECK_EQ(gguf.number_value("f32").value(), 0.5);
  CHECK_EQ(std::get<bool>(*gguf.find_value("bool")), true);
  CHECK_EQ(gguf.string_value("string").value(), "text\n");
  CHECK_EQ(gguf.unsigned_value("u64").value(), ~uint64_t{0});
  CHECK_EQ(std::get<int64_t>(*gguf.find_value("i64")), int64_t{-1} << 60);
  CHECK_EQ(gguf.number_value("f64").value(), -0.1);
  CHECK(!gguf.unsigned_value("none") && !gguf.number_value("none") && !gguf.string_value("none"));
  CHECK_THROWS("must not be negative", gguf.unsigned_value("i8"));
  CHECK_THROWS("has a string as its \"string\"; it must be an unsigned integer",
               gguf.unsigned_value("string"));
  CHECK_THROWS("has a number as its \"f32\"; it must be an unsigned integer", gguf.unsigned_value("f32"));
  CHECK_THROWS("has a boolean as its \"bool\"; it must be a number", gguf.number_value("bool"));
  CHECK_THROWS("has an unsigned integer as its \"u8\"; it must be a string", gguf.string_value("u8"));
}

TEST(gguf_reads_arrays_of_every_type) {
  GgufWriter file;
  file.array("u8", 0, 2, std::string("\x01\xff", 2)).array("i8", 1, 1, "\xff");
  file.array("u16", 2, 1, bytes_of(uint16_t{7})).array("i16", 3, 1, bytes_of(int16_t{-7}));
  file.array("u32", 4, 1, bytes_of(uint32_t{8})).array("i32", 5, 1, bytes_of(int32_t{-8}));
  file.array("u64", 10, 1, bytes_of(uint64_t{9})).array("i64", 11, 1, bytes_of(int64_t{-9}));
  file.array("f32", 6, 2, bytes_of(1.5f) + bytes_of(-2.f)).array("f64", 12, 1, bytes_of(0.1));
  file.array("bool", 7, 3, std::string("\x01\x00\x01", 3));
  file.array("string", 8, 2, GgufWriter::text("a") + GgufWriter::text("")).array("empty", 8, 0, "");
  const GgufFile gguf = parse(file.build());
  const auto is = [&](const char* key, const GgufValue& value) { return *gguf.find_value(key) == value; };
  CHECK(is("u8", std::vector<uint64_t>{1, 255}) && is("i8", std::vector<int64_t>{-1}));
  CHECK(is("u16", std::vector<uint64_t>{7}) && is("i16", std::vector<int64_t>{-7}));
  CHECK(is("u32", std::vector<uint64_t>{8}) && is("i32", std::vector<int64_t>{-8}));
  CHECK(is("u64", std::vector<uint64_t>{9}) && is("i64", std::vector<int64_t>{-9}));
  CHECK(is("f32", std::vector<double>{1.5, -2}) && is("f64", std::vector<double>{0.1}));
  CHECK(is("bool", std::vector<bool>{true, false, true}));
  CHECK(is("string", std::vector<std::string>{"a", ""}) && is("empty", std::vector<std::string>{}));
  CHECK_THROWS("an array of strings", gguf.string_value("string"));
}

TEST(gguf_reads_tensors_of_every_type) {
  for (const uint64_t alignment : {32, 64}) {
    GgufWriter file;
    file.alignment = alignment;
    file.u32("general.alignment", static_cast<uint32_t>(alignment));
    for (const TypeCase& c : kTypeCases) {
      file.tensor(std::string(to_string(c.type)), c.number, {256, 3},
                  std::string(c.bytes, static_cast<char>(c.number + 1)));
    }
    const std::string bytes = file.build();
    const GgufFile gguf = parse(bytes);
    CHECK_EQ(gguf.tensors().size(), std::size(kTypeCases));
    for (const TypeCase& c : kTypeCases) {
      const Tensor* tensor = gguf.find(to_string(c.type));
      CHECK(tensor != nullptr && tensor->type == c.type);
      CHECK_EQ(tensor->shape_text(), "[3, 256]");
      CHECK_EQ(tensor->bytes, c.bytes);
      CHECK(std::string(reinterpret_cast<const char*>(tensor->data), tensor->bytes) ==
            std::string(c.bytes, static_cast<char>(c.number + 1)));
      CHECK_EQ(
          (tensor->data - reinterpret_cast<const uint8_t*>(bytes.data())) % static_cast<ptrdiff_t>(alignment),
          0);
    }
  }
}

TEST(gguf_file_is_mapped) {
  TempDir dir;
  GgufFile opened(dir.write("model.gguf", sample().build()));
  const GgufFile gguf = std::move(opened);
  CHECK_EQ(gguf.find("norm")->data[7], 'b');
  CHECK(gguf.find("none") == nullptr);
  CHECK_THROWS("No such file", GgufFile(dir.path("none")));
}

TEST(gguf_version_2_and_an_empty_file_are_read) {
  GgufWriter file = sample();
  file.version = 2;
  CHECK_EQ(parse(file.build()).tensors().size(), 2u);
  CHECK_EQ(parse(GgufWriter().build()).tensors().size(), 0u);
}

TEST(gguf_unsupported_types_are_refused_when_asked_for) {
  GgufWriter file = sample();
  file.tensor("k", 13, {256}, std::string(176, 'k'))
      .tensor("odd", 31, {32}, "x")
      .tensor("new", 99, {32}, "x");
  const GgufFile gguf = parse(file.build());
  CHECK_EQ(gguf.tensors().size(), 2u);
  CHECK_THROWS("the tensor \"k\" of the GGUF file \"test.gguf\" has the type Q5_K, which is not supported",
               gguf.find("k"));
  CHECK_THROWS("number 31 (unknown here)", gguf.find("odd"));
  CHECK_THROWS("number 99 (unknown here)", gguf.find("new"));
  CHECK_THROWS("\"k\" appears twice", parse(file.info("k", 0, {1}, 0).build()));
}

TEST(gguf_wrong_files_are_named) {
  CHECK_THROWS("seems to be a web page", parse("<!DOCTYPE html><html></html>"));
  CHECK_THROWS("seems to be a safetensors file", parse(testing::safetensors("{}", "")));
  CHECK_THROWS("seems to be a zip archive, as PyTorch's pickle files", parse("PK\x03\x04 archive"));
  CHECK_THROWS("seems to be text", parse("404: Not Found"));
  CHECK_THROWS("seems to be an empty file", parse(""));
}

TEST(gguf_other_versions_are_refused) {
  const auto version = [](uint32_t v) {
    GgufWriter file;
    file.version = v;
    return file.build();
  };
  CHECK_THROWS("version 1", parse(version(1)));
  CHECK_THROWS("big-endian", parse(version(0x03000000)));
  CHECK_THROWS("version 4 of the format; versions 2 and 3", parse(version(4)));
  CHECK_THROWS("version is 0", parse(version(0)));
}

TEST(gguf_every_cut_is_refused_and_every_flip_survived) {
  const std::string whole = sample().build();
  for (size_t size = 4; size < whole.size(); ++size) {
    // A copy of exactly that size, so that a sanitizer sees the byte behind.
    const std::vector<uint8_t> cut(whole.begin(), whole.begin() + static_cast<ptrdiff_t>(size));
    CHECK_THROWS("it again", GgufFile(cut.data(), cut.size(), "cut.gguf"));
  }
  for (size_t at = 0; at < whole.size(); ++at) {
    for (const int value : {0, 1, 0x7f, 0x80, 0xff}) {
      std::vector<uint8_t> changed(whole.begin(), whole.end());
      changed[at] = static_cast<uint8_t>(value);
      try {
        const GgufFile gguf(changed.data(), changed.size(), "changed.gguf");
        for (const Tensor& tensor : gguf.tensors())
          CHECK(tensor.data + tensor.bytes <= changed.data() + changed.size());
      } catch (const Error& error) {
        CHECK(error.code() == ErrorCode::bad_model);
      }
    }
  }
}

TEST(gguf_cut_says_where) {
  const std::string bytes = sample().build();
  CHECK_THROWS("ends at byte 60, inside a metadata string that begins at byte 56",
               parse(GgufWriter().string("general.architecture", "llama").build().substr(0, 60)));
  CHECK_THROWS("before or inside the data of the tensor \"norm\" with shape [4] at offset 32",
               parse(bytes.substr(0, bytes.size() - 1)));
  GgufWriter unpadded = sample();
  const std::string header = "GGUF" + bytes_of(uint32_t{3}) + bytes_of(uint64_t{2}) + bytes_of(uint64_t{4});
  CHECK_THROWS("inside the padding", parse(header + unpadded.values + unpadded.infos));
}

TEST(gguf_counts_that_cannot_fit_are_refused_before_memory_is_taken) {
  GgufWriter file = sample();
  file.tensor_count = ~uint64_t{0};
  CHECK_THROWS("number of tensors is 18446744073709551615, which cannot fit", parse(file.build()));
  file = sample();
  file.value_count = uint64_t{1} << 61;
  CHECK_THROWS("number of metadata values is 2305843009213693952", parse(file.build()));
  CHECK_THROWS("array length is 9223372036854775808",
               parse(GgufWriter().array("a", 8, uint64_t{1} << 63, "").build()));
  CHECK_THROWS("array length is 5", parse(GgufWriter().array("a", 10, 5, std::string(39, 'x')).build()));
  CHECK_THROWS("inside a metadata string", parse(GgufWriter().value("s", 8, bytes_of(~uint64_t{0})).build()));
  CHECK_THROWS("a metadata key is 65536 bytes long",
               parse(GgufWriter().u32(std::string(65536, 'k'), 1).build()));
  CHECK_THROWS("a tensor's name is 1025 bytes long",
               parse(GgufWriter().tensor(std::string(1025, 'n'), 0, {1}, "1234").build()));
}

TEST(gguf_malformed_metadata_is_refused) {
  CHECK_THROWS("the metadata key \"a\" appears twice", parse(GgufWriter().u32("a", 1).u32("a", 2).build()));
  CHECK_THROWS("array of arrays", parse(GgufWriter().array("a", 9, 0, std::string(12, '\0')).build()));
  CHECK_THROWS("unknown element type 13", parse(GgufWriter().array("a", 13, 0, "").build()));
  CHECK_THROWS("the value of \"a\" has the unknown type 13",
               parse(GgufWriter().value("a", 13, "12345678").build()));
  CHECK_THROWS("a boolean has the value 2", parse(GgufWriter().value("a", 7, "\x02").build()));
  CHECK_THROWS("a boolean has the value 3", parse(GgufWriter().array("a", 7, 1, "\x03").build()));
  for (const uint32_t alignment : {0u, 1u, 4u, 24u, 1u << 21}) {
    CHECK_THROWS("; powers of two from 8 to 1048576 are possible",
                 parse(GgufWriter().u32("general.alignment", alignment).build()));
  }
  CHECK_THROWS("must be an unsigned integer", parse(GgufWriter().string("general.alignment", "32").build()));
}

TEST(gguf_malformed_tensors_are_refused) {
  const auto one = [](uint32_t type, const std::vector<uint64_t>& dimensions, uint64_t offset) {
    GgufWriter file;
    file.data = std::string(4096, 'd');
    return parse(file.info("t", type, dimensions, offset).build());
  };
  constexpr uint64_t kHuge = uint64_t{1} << 62;
  CHECK_EQ(one(0, {16}, 4032).tensors().size(), 1u);
  CHECK_THROWS("has 0 dimensions", one(0, {}, 0));
  CHECK_THROWS("has 5 dimensions", one(0, {1, 1, 1, 1, 1}, 0));
  CHECK_THROWS("impossible shape [3, 0]", one(0, {0, 3}, 0));
  CHECK_THROWS("impossible shape", one(0, {kHuge, 2}, 0));
  CHECK_THROWS("impossible shape", one(0, {1u << 31, 1u << 31, 4}, 0));
  CHECK_THROWS("impossible shape", one(0, {~uint64_t{0}}, 0));
  CHECK_THROWS("before or inside the data", one(0, {kHuge}, 0));  // 2^64 bytes
  CHECK_THROWS("before or inside the data", one(14, {256, kHuge / 256}, 0));
  CHECK_THROWS("rows must be multiples of 32", one(8, {48, 2}, 0));
  CHECK_THROWS("rows must be multiples of 256", one(12, {128, 2}, 0));
  CHECK_THROWS("offset 33, which is no multiple of the alignment 32", one(0, {1}, 33));
  CHECK_THROWS("before or inside the data", one(0, {17}, 4032));
  CHECK_THROWS("before or inside the data", one(0, {1}, 4096));
  CHECK_THROWS("before or inside the data", one(0, {1}, ~uint64_t{0} - 31));
  CHECK_THROWS("before or inside the data", one(13, {256}, 4096));
  GgufWriter twice;
  CHECK_THROWS("\"t\" appears twice",
               parse(twice.tensor("t", 0, {1}, "1234").tensor("t", 0, {1}, "1234").build()));
  GgufWriter overlap;
  overlap.data = std::string(128, 'd');
  CHECK_THROWS("\"a\" and \"b\" overlap", parse(overlap.info("b", 0, {4}, 32).info("a", 0, {16}, 0).build()));
}

}  // namespace colophon
