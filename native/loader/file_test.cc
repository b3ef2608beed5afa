#include "loader/file.h"

#include <sys/stat.h>
#include <unistd.h>

#include "loader/describe.h"
#include "loader/mapped_file.h"
#include "testing/files.h"
#include "testing/test.h"

namespace colophon {
namespace {

using testing::TempDir;

/// The code of the Error that `body` throws.
template <typename Body>
std::string code_of(Body body) {
  try {
    body();
  } catch (const Error& error) {
    return to_string(error.code());
  }
  return "none";
}

std::string describe(const std::string& content) {
  return describe_content(reinterpret_cast<const uint8_t*>(content.data()), content.size());
}

}  // namespace

TEST(file_reads_exactly_what_is_asked_for) {
  TempDir dir;
  const File file(dir.write("ten", "0123456789"), ErrorCode::bad_adapter);
  CHECK_EQ(file.size(), 10u);
  char part[4];
  file.read(3, part, 4);
  CHECK_EQ(std::string(part, 4), "3456");
  CHECK_THROWS("ended at byte 10 of 10", file.read(8, part, 4));
  CHECK_EQ(code_of([&] { file.read(8, part, 4); }), "bad_adapter");
}

TEST(file_that_shrinks_while_open_is_an_error) {
  TempDir dir;
  const std::string path = dir.write("file", std::string(10000, 'x'));
  const File file(path, ErrorCode::bad_adapter);
  CHECK_EQ(::truncate(path.c_str(), 5000), 0);
  std::string out(10000, '\0');
  CHECK_THROWS("something shortened it", file.read(0, out.data(), out.size()));
}

TEST(file_refuses_what_is_no_regular_file) {
  TempDir dir;
  CHECK_THROWS("No such file", File(dir.path("none"), ErrorCode::bad_model));
  CHECK_EQ(code_of([&] { File(dir.path("none"), ErrorCode::bad_model); }), "not_found");
  CHECK_THROWS("NUL", File(std::string("/dev/null\0x", 11), ErrorCode::bad_model));
  CHECK_THROWS("is a directory", File(dir.path("."), ErrorCode::bad_model));
  CHECK_EQ(code_of([&] { File(dir.path("."), ErrorCode::bad_adapter); }), "bad_adapter");
  CHECK_THROWS("device, pipe or socket", File("/dev/zero", ErrorCode::bad_model));
  CHECK_EQ(::mkfifo(dir.path("pipe").c_str(), 0600), 0);
  CHECK_THROWS("device, pipe or socket",
               File(dir.path("pipe"), ErrorCode::bad_model));  // and does not wait for a writer
}

TEST(mapped_file_maps_and_moves) {
  TempDir dir;
  MappedFile file(dir.write("a", "hello"));
  MappedFile moved(std::move(file));
  CHECK_EQ(std::string(reinterpret_cast<const char*>(moved.data()), moved.size()), "hello");
  CHECK(file.data() == nullptr);
  moved = MappedFile(dir.write("b", "other file"));
  CHECK_EQ(moved.size(), 10u);
  CHECK_EQ(moved.path(), dir.path("b"));
  CHECK_THROWS("is empty; download it again", MappedFile(dir.write("empty", "")));
  CHECK_EQ(code_of([&] { MappedFile(dir.path("empty")); }), "bad_model");
  CHECK_THROWS("is a directory", MappedFile(dir.path(".")));
}

TEST(quoted_text_is_safe_to_print) {
  CHECK_EQ(quote("model.layers.0"), "\"model.layers.0\"");
  CHECK_EQ(quote("caf\xc3\xa9 \xff\n\x7f"), "\"caf\xc3\xa9 \\xff\\x0a\\x7f\"");
  CHECK_EQ(quote("\xf0\x9f\x98"), "\"\\xf0\\x9f\\x98\"");
  CHECK_EQ(quote(std::string(1000, 'x')), "\"" + std::string(120, 'x') + "...\"");
}

TEST(utf8_is_told_from_other_bytes) {
  for (const char* good : {"", "a", "\xc2\x80", "\xe0\xa0\x80", "\xed\x9f\xbf", "\xef\xbf\xbf",
                           "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf"}) {
    CHECK(is_utf8(good));
  }
  for (const char* bad : {"\x80", "\xc0\x80", "\xc1\xbf", "\xc2", "\xe0\x9f\xbf", "\xed\xa0\x80", "\xef\xbf",
                          "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "a\xff"}) {
    CHECK(!is_utf8(bad));
  }
}

TEST(content_is_described) {
  CHECK_EQ(describe(""), "an empty file");
  CHECK_EQ(describe("GGUF...."), "a GGUF file");
  CHECK_EQ(describe(testing::safetensors("{}", "")), "a safetensors file");
  CHECK(describe("tjgg\x01").find("before GGUF") != std::string::npos);
  CHECK(describe("PK\x03\x04").find("zip archive") != std::string::npos);
  CHECK(describe("\x80\x02}q").find("pickle") != std::string::npos);
  CHECK(describe("\x1f\x8b\x08").find("gzip") != std::string::npos);
  CHECK(describe("version https://git-lfs.github.com/spec/v1\n").find("Git LFS") != std::string::npos);
  CHECK(describe("\n <!DOCTYPE html><html>").find("web page") != std::string::npos);
  CHECK(describe("\xef\xbb\xbf<html>").find("web page") != std::string::npos);
  CHECK_EQ(describe("{\"a\": 1}"), "JSON text");
  CHECK_EQ(describe("Not found\n"), "text");
  CHECK(describe(std::string(600, '\0')).find("zeros") != std::string::npos);
  CHECK_EQ(describe("\x01\x02\x03"), "of an unknown kind");
}

}  // namespace colophon
