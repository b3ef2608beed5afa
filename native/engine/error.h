#pragma once

#include <stdexcept>
#include <string>

namespace colophon {

/// What kind of fault an Error is, so that the gateway can choose a status without reading the sentence.
enum class ErrorCode {
  invalid_argument,   ///< the caller's value is wrong
  not_found,          ///< a file or a handle does not exist
  bad_model,          ///< the base model's file is malformed or unsupported
  bad_adapter,        ///< the adapter's file is malformed, unsupported or for another base
  resource_exhausted, ///< a budget is spent; trying later may work
  unsupported,        ///< this machine or build cannot do it
  internal,           ///< a fault of ours
};

/// Name of a code as JavaScript sees it, e.g. "bad_adapter".
inline const char* to_string(ErrorCode code) {
  switch (code) {
    case ErrorCode::invalid_argument: return "invalid_argument";
    case ErrorCode::not_found: return "not_found";
    case ErrorCode::bad_model: return "bad_model";
    case ErrorCode::bad_adapter: return "bad_adapter";
    case ErrorCode::resource_exhausted: return "resource_exhausted";
    case ErrorCode::unsupported: return "unsupported";
    case ErrorCode::internal: return "internal";
  }
  return "internal";
}

/// Every error of the engine: a sentence that says what was wrong, with which value, and what to do.
class Error : public std::runtime_error {
 public:
  Error(ErrorCode code, const std::string& sentence) : std::runtime_error(sentence), code_(code) {}
  ErrorCode code() const { return code_; }

 private:
  ErrorCode code_;
};

}  // namespace colophon
