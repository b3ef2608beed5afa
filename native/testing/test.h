#pragma once

// The native tests' harness: TEST(name) { CHECK(...); CHECK_EQ(a, b); CHECK_THROWS("part of the sentence", expression); }
// A test binary takes parts of names as arguments and runs the tests that match (all without).

#include <cstdio>
#include <cstring>
#include <exception>
#include <functional>
#include <sstream>
#include <string>
#include <vector>

namespace colophon::testing {

struct Case {
  const char* name;
  void (*body)();
};
inline std::vector<Case>& cases() {
  static std::vector<Case> all;
  return all;
}
inline int& failures() {
  static int count = 0;
  return count;
}
inline void fail(const char* file, int line, const std::string& what) {
  // One wrong kernel fails every element; the first few say enough.
  if (++failures() <= 50) std::printf("  %s:%d: %s\n", file, line, what.c_str());
}
struct Registrar {
  Registrar(const char* name, void (*body)()) { cases().push_back({name, body}); }
};
template <typename A, typename B>
void check_eq(const char* file, int line, const char* text, const A& a, const B& b) {
  if (a == b) return;
  std::ostringstream out;
  out.precision(9);
  out << text << ": " << a << " != " << b;
  fail(file, line, out.str());
}

inline int run(int argc, char** argv) {
  int failed = 0, ran = 0;
  for (const Case& test : cases()) {
    bool wanted = argc < 2;
    for (int i = 1; i < argc; ++i) wanted = wanted || std::strstr(test.name, argv[i]) != nullptr;
    if (!wanted) continue;
    const int before = failures();
    try {
      test.body();
    } catch (const std::exception& error) {
      fail(test.name, 0, std::string("threw: ") + error.what());
    }
    ++ran;
    const bool ok = failures() == before;
    if (!ok) ++failed;
    std::printf("%s %s\n", ok ? "ok  " : "FAIL", test.name);
    std::fflush(stdout);
  }
  std::printf("%d passed, %d failed\n", ran - failed, failed);
  return failed == 0 && ran > 0 ? 0 : 1;
}

}  // namespace colophon::testing

#define TEST(name)                                                                \
  static void test_##name();                                                      \
  static ::colophon::testing::Registrar registrar_##name(#name, test_##name);     \
  static void test_##name()
#define CHECK(condition)                                                          \
  do {                                                                            \
    if (!(condition)) ::colophon::testing::fail(__FILE__, __LINE__, #condition);  \
  } while (0)
#define CHECK_EQ(a, b) ::colophon::testing::check_eq(__FILE__, __LINE__, #a " == " #b, (a), (b))
#define CHECK_THROWS(part, expression)                                                                      \
  do {                                                                                                      \
    bool thrown_ = false;                                                                                   \
    try {                                                                                                   \
      (void)(expression);                                                                                   \
    } catch (const std::exception& error_) {                                                                \
      thrown_ = true;                                                                                       \
      if (std::strstr(error_.what(), part) == nullptr)                                                      \
        ::colophon::testing::fail(__FILE__, __LINE__, std::string("sentence lacks \"" part "\": ") + error_.what()); \
    }                                                                                                       \
    if (!thrown_) ::colophon::testing::fail(__FILE__, __LINE__, #expression " did not throw");               \
  } while (0)
