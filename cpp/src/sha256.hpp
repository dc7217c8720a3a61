// SHA-256 (FIPS 180-4) of a file: small enough to have, where a library for it would be the largest dependency.
#pragma once

#include <filesystem>
#include <string>

namespace cgsam {

/// Lower-case hex; throws BundleError where the file cannot be read.
std::string sha256(const std::filesystem::path& path);

}  // namespace cgsam
