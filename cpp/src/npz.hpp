// NumPy archives as bundles hold them: stored, not compressed, float32, rows first. Nobody vouches for what is read.
#pragma once

#include <cstddef>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace cgsam {

struct Array {
    std::vector<std::size_t> shape;
    std::vector<float> values;  ///< empty where the type is another
    std::string type;           ///< NumPy's, such as "<f4"
};

/// The arrays of bytes that should be an archive; throws BundleError, whose message begins with `where`.
std::map<std::string, Array> parse_npz(const std::vector<unsigned char>& bytes, const std::string& where);

std::map<std::string, Array> read_npz(const std::filesystem::path& path);

}  // namespace cgsam
