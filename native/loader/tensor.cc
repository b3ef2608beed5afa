#include "loader/tensor.h"

#include "loader/describe.h"

namespace colophon {

std::string Tensor::shape_text() const { return colophon::shape_text(shape); }

}  // namespace colophon
