#pragma once

#include "ops/isa.h"
#include "ops/thread_pool.h"

namespace colophon {

/// What every op needs to run: where, and with which kernels. One per engine; used by its loop thread only.
struct OpContext {
  ThreadPool& pool;
  Isa isa;
};

}  // namespace colophon
