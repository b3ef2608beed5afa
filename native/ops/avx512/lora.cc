#include "ops/lora_kernels.h"

#if defined(__x86_64__)
#include "ops/generic/lora_int8.h"

namespace colophon::avx512 {

void lora_quantize_x(const LoraCall& call) { generic::quantize_x<simd::Avx512>(call); }
void lora_shrink(const LoraPart& part) { generic::shrink_part<simd::Avx512>(part); }
void lora_quantize_h(const LoraCall& call) { generic::quantize_h<simd::Avx512>(call); }
void lora_expand(const LoraPart& part) { generic::expand_part<simd::Avx512>(part); }
void lora_whole(const LoraCall* calls, size_t count) { generic::lora_whole<simd::Avx512>(calls, count); }

}  // namespace colophon::avx512
#endif
