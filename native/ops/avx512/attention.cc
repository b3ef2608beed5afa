#include "ops/attention_kernels.h"

#if defined(__x86_64__)
#include "ops/generic/attention.h"

namespace colophon::avx512 {

using V = simd::Avx512;

void attention_scores(const AttentionTile& tile, const AttentionScratch& scratch, size_t first_page, size_t last_page) {
  if (tile.f16) generic::scores<V, generic::F16>(tile, scratch, first_page, last_page);
  else generic::scores<V, generic::F32>(tile, scratch, first_page, last_page);
}
void attention_weights(const AttentionTile& tile, const AttentionScratch& scratch, size_t block) {
  generic::weights<V>(tile, scratch, block);
}
void attention_values(const AttentionTile& tile, const AttentionScratch& scratch, size_t first, size_t last) {
  if (tile.f16) generic::values<V, generic::F16>(tile, scratch, first, last);
  else generic::values<V, generic::F32>(tile, scratch, first, last);
}
void kv_write_page(bool f16, uint8_t* page, size_t kv_heads, size_t head_dim, size_t lane, size_t count, const float* k,
                   size_t k_stride, const float* v, size_t v_stride) {
  generic::kv_write_page<V>(f16, page, kv_heads, head_dim, lane, count, k, k_stride, v, v_stride);
}

}  // namespace colophon::avx512
#endif
