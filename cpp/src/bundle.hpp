// A bundle: nothing in it is trusted before it was checked.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "cgsam/prompts.hpp"

namespace cgsam {

using Shape = std::vector<std::int64_t>;

struct TensorSpec { std::string name; Shape shape; };
struct GraphSpec { std::string path; std::vector<TensorSpec> inputs, outputs; };
struct FileSpec { std::uint64_t size = 0; std::string sha256; };
struct ConceptSpec { std::string name; std::vector<std::string> synonyms; };

struct Manifest {
    Geometry geometry;
    Prompting prompting;
    std::vector<ConceptSpec> concepts;
    std::map<std::string, FileSpec> files;
    std::map<std::string, std::map<std::string, GraphSpec>> targets;
    int format_version = 0;
    bool degraded = false;
};

constexpr int newest_format = 2;

/// Parse a manifest; throws BundleError, whose message begins with `where`.
Manifest parse_manifest(const std::string& text, const std::string& where);

/// Names and numbers of N concepts; `rows` (N, row_size), `presence` (N, 9) and `screening` (N, 4).
struct Vocabulary {
    std::vector<ConceptSpec> concepts;
    std::vector<float> features, rows, presence, screening;
    Shape row_shape;  ///< (n, r)
    std::map<std::string, std::size_t> aliases;
    std::size_t row_size() const;
    /// Throws UnknownConceptError.
    std::size_t index(const std::string& name) const;
};

class Bundle {
public:
    explicit Bundle(const std::filesystem::path& folder);

    /// The target's graphs; throws BundleError where it or one of them is missing.
    const std::map<std::string, GraphSpec>& graphs(const std::string& target) const;
    bool holds(const std::string& target) const { return manifest.targets.count(target) != 0; }

    /// The path of a graph, after a check of each of its files.
    std::filesystem::path verified_graph(const std::string& target, const std::string& name) const;

    std::filesystem::path folder;
    Manifest manifest;
    Vocabulary vocabulary;

private:
    std::filesystem::path verified(const std::string& name) const;
    std::filesystem::path inside(const std::string& name) const;
};

}  // namespace cgsam
