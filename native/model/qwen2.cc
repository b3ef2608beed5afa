// Qwen2 and Qwen2.5 (https://arxiv.org/abs/2407.10671): biases on queries, keys and values.

#include "model/transformer.h"

namespace colophon {
namespace {

const TransformerRegistration kQwen2("qwen2", {});

}  // namespace
}  // namespace colophon
