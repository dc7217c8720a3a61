// When two names are the same (docs/bundle.md, "Names").
#pragma once

#include <string>

namespace cgsam {

/// The form under which names are compared; throws BundleError where the text is not UTF-8.
std::string fold(const std::string& name);

/// Whether a name has something to read and no control character.
bool is_printable(const std::string& name);

}  // namespace cgsam
