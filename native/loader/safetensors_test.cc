#include "loader/safetensors.h"

#include "loader/safetensors_header.h"
#include "testing/files.h"
#include "testing/test.h"

namespace colophon {
namespace {

using testing::bytes_of;
using testing::safetensors;
using testing::SafetensorsWriter;
using testing::TempDir;

SafetensorsFile parse(const std::string& bytes) {
  return SafetensorsFile(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size(), "test.safetensors");
}

/// A file of one F32 tensor "t" whose entry is `fields`, before a data section of `data_bytes`.
SafetensorsFile entry(const std::string& fields, size_t data_bytes = 8) {
  return parse(safetensors("{\"t\":{" + fields + "}}", std::string(data_bytes, 'd')));
}

/// A file of no tensor whose header is `json`.
SafetensorsFile header(const std::string& json) { return parse(safetensors(json, "")); }

SafetensorsWriter sample() {
  SafetensorsWriter file;
  file.tensor("a", "F32", {2, 3}, std::string(24, 'a')).tensor("b", "F16", {4}, std::string(8, 'b'));
  file.tensor("c", "BF16", {1, 1, 2}, std::string(4, 'c')).tensor("ids", "I64", {2}, std::string(16, 'i'));
  file.tensor("scalar", "F32", {}, "1234")
      .tensor("empty", "F16", {0, 7}, "")
      .tensor("f4", "F4", {3, 2}, "abc");
  return file;
}

}  // namespace

TEST(safetensors_reads_tensors) {
  const std::string bytes = sample().build();
  const SafetensorsFile file = parse(bytes);
  CHECK_EQ(file.tensors().size(), 5u);
  const Tensor* a = file.find("a");
  CHECK(a != nullptr && a->type == DType::f32 && a->bytes == 24 && a->data[23] == 'a');
  CHECK_EQ(a->shape_text(), "[2, 3]");
  CHECK(file.find("b")->type == DType::f16 && file.find("b")->data[0] == 'b');
  CHECK(file.find("c")->type == DType::bf16);
  CHECK_EQ(file.find("c")->shape_text(), "[1, 1, 2]");
  CHECK_EQ(file.find("scalar")->shape_text(), "[]");
  CHECK_EQ(file.find("empty")->bytes, 0u);
  CHECK(file.find("none") == nullptr);
  CHECK_THROWS("the tensor \"ids\" has the type I64, which is not supported", file.find("ids"));
  CHECK_THROWS("has the type F4", file.find("f4"));
}

TEST(safetensors_reads_shards_as_one_set) {
  TempDir dir;
  const std::string first =
      dir.write("1.safetensors", SafetensorsWriter().tensor("a", "F16", {1}, "aa").build());
  const std::string second =
      dir.write("2.safetensors", SafetensorsWriter().tensor("b", "F16", {1}, "bb").build());
  const SafetensorsFile file({first, second});
  CHECK_EQ(file.tensors().size(), 2u);
  CHECK_EQ(file.find("b")->data[1], 'b');
  CHECK_THROWS("is in another file too", SafetensorsFile({first, second, first}));
  CHECK_THROWS("no safetensors file was given", SafetensorsFile(std::vector<std::string>{}));
  CHECK_THROWS("No such file", SafetensorsFile({first, dir.path("3.safetensors")}));
}

TEST(safetensors_reads_metadata_and_escapes) {
  const std::string json =
      " {\"__metadata__\" : { \"format\":\"pt\", "
      "\"n\\u00e9e\\n\\\"\\\\\\/\\b\\f\\r\\t\":\"\\ud83d\\ude00\\u20AC\" },\r\n\t"
      "\"\\u0074\":{\"data_offsets\":[0, 2] ,\"shape\":[ 1 ],\"dtype\":\"F16\"}}   ";
  // parse_safetensors_header takes the JSON behind the length; a file's must begin with '{'.
  const std::string trimmed = json.substr(1);
  const SafetensorsHeader parsed =
      parse_safetensors_header(trimmed, 8 + trimmed.size() + 2, "test", ErrorCode::bad_model);
  CHECK_EQ(parsed.metadata.size(), 2u);
  CHECK_EQ(parsed.metadata[0].second, "pt");
  CHECK_EQ(parsed.metadata[1].first,
           "n\xc3\xa9"
           "e\n\"\\/\b\f\r\t");
  CHECK_EQ(parsed.metadata[1].second, "\xf0\x9f\x98\x80\xe2\x82\xac");
  CHECK_EQ(parsed.entries[0].name, "t");
  CHECK_EQ(header("{}").tensors().size(), 0u);
  CHECK_EQ(header("{ }").tensors().size(), 0u);
  CHECK_EQ(header("{\"__metadata__\":{}}").tensors().size(), 0u);
}

TEST(safetensors_pickles_and_other_files_are_refused) {
  CHECK_THROWS("is a PyTorch pickle (a zip archive", parse("PK\x03\x04\x14 more of it"));
  CHECK_THROWS("is a PyTorch pickle (a Python pickle", parse("\x80\x02}q and more"));
  CHECK_THROWS("save it with safetensors instead", parse("\x80\x02"));
  CHECK_THROWS("is not a safetensors file: it seems to be a GGUF file", parse("GGUF\x03 and more"));
  CHECK_THROWS("seems to be a web page", parse("<!DOCTYPE html>"));
  CHECK_THROWS("Git LFS pointer", parse("version https://git-lfs.github.com/spec/v1"));
  CHECK_THROWS("seems to be an empty file", parse(""));
  CHECK_THROWS("is not a safetensors file", parse(std::string("\x02\0\0\0\0\0\0\0", 8)));
  // Lengths of good headers that begin like a pickle: 0x80 = 128 and "PK" = 19280 characters.
  CHECK_EQ(header("{}" + std::string(126, ' ')).tensors().size(), 0u);
  CHECK_EQ(header("{}" + std::string(19278, ' ')).tensors().size(), 0u);
}

TEST(safetensors_lying_header_lengths_are_refused) {
  CHECK_THROWS("says that its header is 18446744073709551615 bytes long",
               parse(bytes_of(~uint64_t{0}) + "{}"));
  CHECK_THROWS("says that its header is 100000001 bytes long; at most 100000000",
               parse(bytes_of(uint64_t{100000001}) + "{}"));
  CHECK_THROWS("ends at byte 10, inside its header of 3 bytes", parse(bytes_of(uint64_t{3}) + "{}"));
  CHECK_THROWS("ends at byte 10, inside its header of 100000000 bytes",
               parse(bytes_of(uint64_t{100000000}) + "{}"));
  CHECK_THROWS("ends where '\"' must stand", parse(bytes_of(uint64_t{1}) + "{}"));
  CHECK_THROWS("ends where '{' must stand", parse(bytes_of(uint64_t{0}) + "{}"));
}

TEST(safetensors_malformed_json_is_refused) {
  CHECK_THROWS("'\"' must stand here, not \"x\"", header("{x"));
  CHECK_THROWS("'\"' must stand here", header("{\"__metadata__\":{},}"));
  CHECK_THROWS("something follows its end", header("{}{}"));
  CHECK_THROWS("something follows its end", header(std::string("{}\0", 3)));
  CHECK_THROWS("ends inside a string", header("{\"t"));
  CHECK_THROWS("':' must stand here", header("{\"t\",1}"));
  CHECK_THROWS("control character", header("{\"a\nb\":{}}"));
  CHECK_THROWS("a backslash is not followed by one of", header("{\"\\x\":{}}"));
  CHECK_THROWS("a backslash is not followed by one of", header("{\"\\"));
  CHECK_THROWS("four hexadecimal digits", header("{\"\\u12g4\":{}}"));
  CHECK_THROWS("four hexadecimal digits", header("{\"\\u12"));
  CHECK_THROWS("surrogate stands alone", header("{\"\\ud83d\":{}}"));
  CHECK_THROWS("surrogate stands alone", header("{\"\\ud83d\\u0041\":{}}"));
  CHECK_THROWS("surrogate stands alone", header("{\"\\ude00\":{}}"));
  CHECK_THROWS("is not valid UTF-8", header("{\"a\xff\":{}}"));
  CHECK_THROWS("is not valid UTF-8", header("{\"\xed\xa0\x80\":{}}"));
  CHECK_THROWS("'\"' must stand here", header("{\"__metadata__\":{\"a\":1}}"));
  CHECK_THROWS("'{' must stand here", header("{\"__metadata__\":null}"));
  CHECK_THROWS("\"a\" appears twice in __metadata__", header("{\"__metadata__\":{\"a\":\"\",\"a\":\"\"}}"));
  CHECK_THROWS("\"__metadata__\" appears twice", header("{\"__metadata__\":{},\"__metadata__\":{}}"));
  // Nesting never recurses: an array where none belongs is an error at once.
  CHECK_THROWS("'{' must stand here", header("{\"t\":" + std::string(1000000, '[')));
  CHECK_THROWS("a whole number must stand here", header("{\"t\":{\"shape\":" + std::string(1000000, '[')));
}

TEST(safetensors_malformed_entries_are_refused) {
  const std::string good = "\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]";
  CHECK_EQ(entry(good).tensors().size(), 1u);
  CHECK_THROWS("lacks dtype", entry("\"shape\":[2],\"data_offsets\":[0,8]"));
  CHECK_THROWS("lacks shape", entry("\"dtype\":\"F32\",\"data_offsets\":[0,8]"));
  CHECK_THROWS("lacks data_offsets", entry("\"dtype\":\"F32\",\"shape\":[2]"));
  CHECK_THROWS("has the unknown field \"strides\"", entry(good + ",\"strides\":[1]"));
  CHECK_THROWS("has \"dtype\" twice", entry(good + ",\"dtype\":\"F32\""));
  CHECK_THROWS("has \"shape\" twice", entry(good + ",\"shape\":[2]"));
  CHECK_THROWS("has \"data_offsets\" twice", entry(good + ",\"data_offsets\":[0,8]"));
  CHECK_THROWS("has the type \"F31\", which safetensors does not know",
               entry("\"dtype\":\"F31\",\"shape\":[2],\"data_offsets\":[0,8]"));
  for (const char* number :
       {"-1", "1.5", "2.", "2e0", "2E0", "02", "", "\"2\"", "null", "NaN", "+2", "[2]", "true"}) {
    CHECK_THROWS("a whole number must stand here",
                 entry("\"dtype\":\"F32\",\"shape\":[2," + std::string(number) + "],\"data_offsets\":[0,8]"));
  }
  CHECK_THROWS("larger than 64 bits hold",
               entry("\"dtype\":\"F32\",\"shape\":[18446744073709551616],\"data_offsets\":[0,8]"));
  CHECK_THROWS("']' must stand here", entry("\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8,9]"));
  CHECK_THROWS("',' must stand here", entry("\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8]"));
  CHECK_THROWS("\"t\" appears twice", header("{\"t\":{" + good + "},\"\\u0074\":{" + good + "}}"));
}

TEST(safetensors_sizes_and_places_are_checked) {
  const auto sized = [](const std::string& shape, const std::string& offsets, size_t data_bytes = 8) {
    return entry("\"dtype\":\"F32\",\"shape\":[" + shape + "],\"data_offsets\":[" + offsets + "]",
                 data_bytes);
  };
  CHECK_THROWS("ends at offset 0, before it begins at 8", sized("2", "8,0"));
  CHECK_THROWS("before or inside the data of the tensor \"t\" (bytes 0 to 16", sized("4", "0,16"));
  CHECK_THROWS("it seems to be cut off", sized("2", "18446744073709551608,18446744073709551615"));
  CHECK_THROWS("has 8 bytes, which its shape [3] of type F32 contradicts", sized("3", "0,8"));
  CHECK_THROWS("contradicts", sized("", "0,8"));
  CHECK_THROWS("contradicts", sized("4611686018427387906", "0,8"));  // 4 * n = 8 modulo 2^64
  CHECK_THROWS("contradicts", sized("4294967296,4294967296", "0,0", 0));
  CHECK_THROWS("contradicts", sized("18446744073709551615,18446744073709551615,0,2", "0,8"));
  CHECK_THROWS("contradicts", entry("\"dtype\":\"F4\",\"shape\":[15],\"data_offsets\":[0,8]"));
  CHECK_THROWS("begins at offset 4, leaving a gap", sized("1", "4,8"));
  CHECK_THROWS("has 4 bytes behind its last tensor that no tensor covers", sized("1", "0,4"));
  CHECK_THROWS("has 8 bytes behind its last tensor", parse(safetensors("{}", "12345678")));
  const auto two = [](const std::string& a, const std::string& b) {
    const std::string fields = ":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[";
    return parse(safetensors("{\"a\"" + fields + a + "]},\"b\"" + fields + b + "]}}", "12345678"));
  };
  CHECK_EQ(two("4,8", "0,4").tensors().size(), 0u);  // any order, no float among them
  CHECK_THROWS(
      "\"b\" in the file \"test.safetensors\" begins at offset 2, inside the tensor before it, which ends at "
      "4",
      two("0,4", "2,6"));
  CHECK_THROWS("inside the tensor before it", two("0,4", "0,4"));
}

TEST(safetensors_every_cut_is_refused_and_every_flip_survived) {
  const std::string whole = sample().build();
  for (size_t size = 0; size < whole.size(); ++size) {
    const std::vector<uint8_t> cut(whole.begin(), whole.begin() + static_cast<ptrdiff_t>(size));
    CHECK_THROWS("it again", SafetensorsFile(cut.data(), cut.size(), "cut"));
  }
  for (size_t at = 0; at < whole.size(); ++at) {
    for (const char value : {'\0', '\1', '"', '{', '9', '\x7f', '\x80', '\xff'}) {
      std::vector<uint8_t> changed(whole.begin(), whole.end());
      changed[at] = static_cast<uint8_t>(value);
      try {
        const SafetensorsFile file(changed.data(), changed.size(), "changed", ErrorCode::bad_adapter);
        for (const Tensor& tensor : file.tensors())
          CHECK(tensor.data + tensor.bytes <= changed.data() + changed.size());
      } catch (const Error& error) {
        CHECK(error.code() == ErrorCode::bad_adapter);
      }
    }
  }
}

}  // namespace colophon
