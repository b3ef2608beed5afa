#pragma once

#include <string>
#include <string_view>

namespace colophon {

/// Instruction sets that the kernels are written for. All give the same bits (promise 1 of the design).
enum class Isa { reference, avx2, avx512 };

/// What the linears' activations are: `int8` quantises them per block of 32 (quantised weights only),
/// `float32` leaves them as they are and widens the weights.
enum class Precision { int8, float32 };

/// Whether this CPU (and its operating system) can run `isa`.
bool isa_supported(Isa isa);

/// The fastest instruction set that this CPU runs.
Isa best_isa();

/// Parses "reference" | "avx2" | "avx512"; throws Error naming the value and the choices.
Isa parse_isa(std::string_view text);
std::string_view to_string(Isa isa);

/// Parses "int8" | "float32"; throws Error naming the value and the choices.
Precision parse_precision(std::string_view text);
std::string_view to_string(Precision precision);

}  // namespace colophon
