// Errors: everything that this library throws is a cgsam::Error, with a message for a person.
#pragma once

#include <stdexcept>
#include <string>

namespace cgsam {

struct Error : std::runtime_error { using std::runtime_error::runtime_error; };

/// A bundle is missing, incomplete, altered, or too new.
struct BundleError : Error { using Error::Error; };

/// An image cannot be used.
struct ImageError : Error { using Error::Error; };

/// The bundle does not hold a concept.
struct UnknownConceptError : Error { using Error::Error; };

/// A prompt has wrong numbers, is outside the image, or has more points than slots.
struct PromptError : Error { using Error::Error; };

/// An option makes no sense.
struct InputError : Error { using Error::Error; };

/// The engine cannot open or run a graph.
struct BackendError : Error { using Error::Error; };

}  // namespace cgsam
