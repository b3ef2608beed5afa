#include "ops/lora_kernels.h"

#if defined(__x86_64__)
#include "ops/generic/lora.h"

namespace colophon::avx512 {

void lora_shrink(const LoraPart& part) { generic::lora_shrink<simd::Avx512>(part); }
void lora_expand(const LoraPart& part) { generic::lora_expand<simd::Avx512>(part); }
void lora_whole(const LoraCall* const* calls, size_t count) { generic::lora_whole<simd::Avx512>(calls, count); }

}  // namespace colophon::avx512
#endif
