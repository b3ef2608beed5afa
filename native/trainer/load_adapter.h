#pragma once

#include <string>

#include "trainer/trainable_adapter.h"

namespace colophon {

/// Takes the values of an adapter that PEFT, or save_adapter, wrote: F32, F16 or BF16. Throws Error(not_found) where there is no file,
/// Error(bad_adapter) where it is malformed or its tensors are not those of the adapter's modules; then nothing changes.
void load_adapter(TrainableAdapter& adapter, const std::string& path);

}  // namespace colophon
