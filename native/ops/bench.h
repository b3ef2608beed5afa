#pragma once

// What the benches of ops share: the machine's ceilings, and lines that say how far a case is from them.

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "ops/isa.h"
#include "ops/thread_pool.h"

namespace colophon::bench {

inline double seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

/// The best of several runs: what the machine gives when nothing else runs on it.
template <typename Body>
double time_of(const Body& body) {
  double best = 1e30, spent = 0;
  for (size_t runs = 0; runs < 5 || spent < 0.3; ++runs) {
    const double start = seconds();
    body();
    const double elapsed = seconds() - start;
    best = std::min(best, elapsed);
    spent += elapsed;
    if (spent > 3) break;
  }
  return best;
}

/// What all threads together can do, in units of 1e9 a second: bytes read from memory, float32 operations by multiply-add,
/// int8 operations by the instructions that the kernels of `isa` use. 0 where it is not measured.
struct Ceilings {
  double memory = 0, float32 = 0, int8 = 0;
};

#if defined(__x86_64__)
__attribute__((target("avx2"))) inline void read_all(const uint8_t* p, size_t bytes) {
  __m256i sums[4] = {};
  for (size_t i = 0; i + 128 <= bytes; i += 128) {
    _mm_prefetch(reinterpret_cast<const char*>(p + i + 2048), _MM_HINT_T0);
    _mm_prefetch(reinterpret_cast<const char*>(p + i + 2112), _MM_HINT_T0);
    for (size_t k = 0; k < 4; ++k)
      sums[k] = _mm256_or_si256(sums[k], _mm256_load_si256(reinterpret_cast<const __m256i*>(p + i + k * 32)));
  }
  for (__m256i& sum : sums) asm volatile("" : "+x"(sum));
}
// Eight or more independent sums, so that no instruction waits for another's result.
constexpr size_t kSteps = 200000;
#define COLOPHON_EIGHT(x) x(0) x(1) x(2) x(3) x(4) x(5) x(6) x(7)
inline void float32_avx2() {
  for (size_t i = 0; i < kSteps; ++i) {
#define COLOPHON_ONE(n) asm volatile("vfmadd231ps %%ymm14, %%ymm15, %%ymm" #n ::: "xmm" #n);
    COLOPHON_EIGHT(COLOPHON_ONE)
#undef COLOPHON_ONE
  }
}
inline void float32_avx512() {
  for (size_t i = 0; i < kSteps; ++i) {
#define COLOPHON_ONE(n) asm volatile("vfmadd231ps %%zmm14, %%zmm15, %%zmm" #n ::: "xmm" #n);
    COLOPHON_EIGHT(COLOPHON_ONE)
#undef COLOPHON_ONE
  }
}
inline void int8_avx2() {
  for (size_t i = 0; i < kSteps; ++i) {
#define COLOPHON_ONE(n) \
  asm volatile("vpmaddubsw %%ymm14, %%ymm15, %%ymm13\n\tvpaddw %%ymm13, %%ymm" #n ", %%ymm" #n ::: "xmm13", "xmm" #n);
    COLOPHON_EIGHT(COLOPHON_ONE)
#undef COLOPHON_ONE
  }
}
inline void int8_avx512() {
  for (size_t i = 0; i < kSteps; ++i) {
#define COLOPHON_ONE(n) asm volatile("vpdpbusd %%zmm14, %%zmm15, %%zmm" #n ::: "xmm" #n);
    COLOPHON_EIGHT(COLOPHON_ONE)
#undef COLOPHON_ONE
  }
}
#undef COLOPHON_EIGHT
#endif

inline Ceilings measure_ceilings([[maybe_unused]] ThreadPool& pool, [[maybe_unused]] Isa isa) {
  Ceilings ceilings;
#if defined(__x86_64__)
  if (!isa_supported(Isa::avx2)) return ceilings;
  const size_t pieces = 64, piece = size_t{4} << 20;
  auto* memory = static_cast<uint8_t*>(std::aligned_alloc(size_t{1} << 21, pieces * piece + 4096));
  std::fill(memory, memory + pieces * piece, uint8_t{1});
  const auto rate = [](double amount, double time) { return amount / time / 1e9; };
  ceilings.memory = rate(pieces * piece, time_of([&] {
                           pool.parallel_for(pieces, [&](size_t i, size_t) { read_all(memory + i * piece, piece); });
                         }));
  std::free(memory);
  const bool wide = isa == Isa::avx512;
  const double steps = static_cast<double>(pool.threads()) * kSteps * 8 * (wide ? 2 : 1);
  const auto on_all = [&](void (*work)()) {
    return time_of([&] { pool.parallel_for(pool.threads(), [&](size_t, size_t) { work(); }); });
  };
  ceilings.float32 = rate(steps * 16, on_all(wide ? float32_avx512 : float32_avx2));
  ceilings.int8 = rate(steps * 64, on_all(wide ? int8_avx512 : int8_avx2));
#endif
  return ceilings;
}

/// Prints a case a line: its time and how much of it the ceilings alone would take. With COLOPHON_BENCH_JSON set, lines are
/// JSON.
class Report {
 public:
  explicit Report(const Ceilings& ceilings) : ceilings_(ceilings), json_(std::getenv("COLOPHON_BENCH_JSON") != nullptr) {
    if (json_)
      std::printf("{\"memory\": %.4g, \"float32\": %.4g, \"int8\": %.4g}\n", ceilings.memory, ceilings.float32, ceilings.int8);
    else
      std::printf("ceilings: memory %.1f GB/s, float32 %.0f GFLOP/s, int8 %.0f GOP/s\n", ceilings.memory, ceilings.float32,
                  ceilings.int8);
  }
  enum class Kind { float32, int8 };
  /// `bytes` are read at least once and `operations` are done at least, two for a product and its sum.
  void add(const std::string& name, double time, Kind kind, double bytes, double operations) const {
    const double arithmetic = kind == Kind::int8 ? ceilings_.int8 : ceilings_.float32;
    const double by_memory = ceilings_.memory > 0 ? bytes / ceilings_.memory / 1e9 : 0;
    const double by_arithmetic = arithmetic > 0 ? operations / arithmetic / 1e9 : 0;
    const char* bound = by_memory > by_arithmetic ? "memory" : kind == Kind::int8 ? "int8" : "float32";
    const double least = std::max(by_memory, by_arithmetic);
    if (json_)
      std::printf("{\"case\": \"%s\", \"us\": %.5g, \"least_us\": %.5g, \"bound\": \"%s\"}\n", name.c_str(), time * 1e6,
                  least * 1e6, bound);
    else
      std::printf("%-28s %10.1f us %8.1f GB/s %8.1f GOP/s %5.0f%% of %s\n", name.c_str(), time * 1e6, bytes / time / 1e9,
                  operations / time / 1e9, 100 * least / time, bound);
    std::fflush(stdout);
  }

 private:
  const Ceilings ceilings_;
  const bool json_;
};

}  // namespace colophon::bench
