#pragma once

#include "ops/isa.h"

// The kernel `name` of an instruction set: each stands in the namespace of its folder (ops/reference/, avx2/, avx512/).
#if defined(__x86_64__)
#define COLOPHON_KERNEL(isa, name) \
  ((isa) == Isa::avx512 ? avx512::name : (isa) == Isa::avx2 ? avx2::name : reference::name)
#else
#define COLOPHON_KERNEL(isa, name) ((void)(isa), reference::name)
#endif
