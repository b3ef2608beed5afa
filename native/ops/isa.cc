#include "ops/isa.h"

#include "engine/error.h"

namespace colophon {

bool isa_supported(Isa isa) {
  switch (isa) {
    case Isa::reference:
      return true;
#if defined(__x86_64__)
    case Isa::avx2:
      return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
    case Isa::avx512:
#if defined(COLOPHON_EMULATED_AVX512)  // a build for tests: testing/emulated_avx512.h
      return isa_supported(Isa::avx2);
#else
      return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
             __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
             __builtin_cpu_supports("avx512vnni");
#endif
#else
    default:
      return false;
#endif
  }
  return false;
}

Isa best_isa() {
  if (isa_supported(Isa::avx512)) return Isa::avx512;
  if (isa_supported(Isa::avx2)) return Isa::avx2;
  return Isa::reference;
}

Isa parse_isa(std::string_view text) {
  if (text == "reference") return Isa::reference;
  if (text == "avx2") return Isa::avx2;
  if (text == "avx512") return Isa::avx512;
  throw Error(ErrorCode::invalid_argument,
              "instruction set \"" + std::string(text) + "\" is unknown; choose reference, avx2 or avx512");
}

std::string_view to_string(Isa isa) {
  switch (isa) {
    case Isa::reference:
      return "reference";
    case Isa::avx2:
      return "avx2";
    case Isa::avx512:
      return "avx512";
  }
  return "?";
}

Precision parse_precision(std::string_view text) {
  if (text == "int8") return Precision::int8;
  if (text == "float32") return Precision::float32;
  throw Error(ErrorCode::invalid_argument,
              "precision \"" + std::string(text) + "\" is unknown; choose int8 or float32");
}

std::string_view to_string(Precision precision) {
  return precision == Precision::int8 ? "int8" : "float32";
}

}  // namespace colophon
