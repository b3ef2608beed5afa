#include "ops/lora_kernels.h"

#if defined(__x86_64__)
#include "ops/generic/lora.h"

namespace colophon::avx2 {

void lora_shrink(const LoraPart& part) { generic::lora_shrink<simd::Avx2>(part); }
void lora_expand(const LoraPart& part) { generic::lora_expand<simd::Avx2>(part); }
void lora_whole(const LoraCall* const* calls, size_t count) { generic::lora_whole<simd::Avx2>(calls, count); }

}  // namespace colophon::avx2
#endif
