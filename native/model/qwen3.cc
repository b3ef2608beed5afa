// Qwen3, dense (https://arxiv.org/abs/2505.09388): norms of each head's query and key.

#include "model/transformer.h"

namespace colophon {
namespace {

const TransformerRegistration kQwen3("qwen3", {.norms_heads = true});

}  // namespace
}  // namespace colophon
