#include "bundle.hpp"

#include <cmath>
#include <cstdio>
#include <fstream>
#include <sstream>

#include "cgsam/errors.hpp"
#include "names.hpp"
#include "npz.hpp"
#include "sha256.hpp"

namespace fs = std::filesystem;

namespace cgsam {
namespace {

constexpr std::uintmax_t most_manifest_bytes = std::uintmax_t{16} << 20;
constexpr const char* manifest_file = "manifest.json";
constexpr const char* vocabulary_file = "vocabulary.npz";
constexpr const char* again = " Copy or export it again.";

Manifest read_manifest(const fs::path& folder) {
    std::error_code error;
    const std::string where = (folder / manifest_file).u8string();
    if (!fs::is_directory(folder, error)) throw BundleError(folder.u8string() + (fs::exists(folder, error) ? ": not a folder." : ": no such bundle."));
    if (!fs::exists(folder / manifest_file, error)) throw BundleError(folder.u8string() + ": not a bundle (it has no manifest.json).");
    if (!fs::is_regular_file(folder / manifest_file, error)) throw BundleError(where + ": no ordinary file.");
    if (fs::file_size(folder / manifest_file, error) > most_manifest_bytes || error) throw BundleError(where + ": larger than any manifest.");
    std::ifstream file(folder / manifest_file, std::ios::binary);
    std::ostringstream text;
    text << file.rdbuf();
    if (!file) throw BundleError(where + ": cannot be read.");
    return parse_manifest(text.str(), where);
}

std::string shown(const Shape& shape) {
    std::string text = "(";
    for (std::size_t i = 0; i < shape.size(); ++i) text += (i ? ", " : "") + std::to_string(shape[i]);
    return text + ")";
}

/// Take an array of the vocabulary, with its axes and entries checked.
std::vector<float> taken(std::map<std::string, Array>& arrays, const std::string& name, std::size_t axes, std::size_t count,
                         Shape* rest, const std::string& where) {
    const auto found = arrays.find(name);
    if (found == arrays.end()) throw BundleError(where + ": not a vocabulary (it lacks '" + name + "').");
    Array& array = found->second;
    if (array.type != "<f4" || array.shape.size() != axes || array.shape[0] != count)
        throw BundleError(where + ": '" + name + "' must be float32 with " + std::to_string(axes) + " axes and " + std::to_string(count) +
                          " entries, got " + array.type + " with shape " + shown(Shape(array.shape.begin(), array.shape.end())) + ".");
    rest->assign(array.shape.begin() + 1, array.shape.end());
    return std::move(array.values);
}

std::vector<float> calibration(std::map<std::string, Array>& arrays, const std::string& name, std::size_t columns,
                               const std::vector<ConceptSpec>& concepts, const std::string& where) {
    if (!arrays.count(name)) return std::vector<float>(columns * concepts.size(), std::nanf(""));
    Shape rest;
    auto values = taken(arrays, name, 2, concepts.size(), &rest, where);
    if (rest[0] != static_cast<std::int64_t>(columns)) throw BundleError(where + ": '" + name + "' must have " + std::to_string(columns) + " columns.");
    for (std::size_t n = 0; n < concepts.size(); ++n) {
        std::size_t finite = 0;
        for (std::size_t i = 0; i < columns; ++i) finite += std::isfinite(values[n * columns + i]);
        if (finite != 0 && finite != columns) throw BundleError(where + ": '" + name + "' of '" + concepts[n].name + "' is neither numbers nor NaN alone.");
    }
    return values;
}

void check_features(const std::vector<float>& features, std::size_t length, const std::string& where) {
    for (std::size_t at = 0; at < features.size(); at += length) {
        double sum = 0;
        for (std::size_t i = 0; i < length; ++i) sum += static_cast<double>(features[at + i]) * features[at + i];
        if (!std::isfinite(sum)) throw BundleError(where + ": 'features' holds NaN or infinity.");
        if (std::abs(std::sqrt(sum) - 1) > 1e-2) throw BundleError(where + ": 'features' must be of unit length, got " + std::to_string(std::sqrt(sum)) + ".");
    }
}

std::map<std::string, std::size_t> aliases(const std::vector<ConceptSpec>& concepts, const std::string& where) {
    std::map<std::string, std::size_t> made;
    const auto add = [&](const std::string& name, std::size_t index) {
        if (!is_printable(name)) throw BundleError(where + ": a name of concept " + std::to_string(index) + " cannot be read.");
        const auto [at, fresh] = made.emplace(fold(name), index);
        if (!fresh) throw BundleError(where + ": '" + name + "' names '" + concepts[at->second].name + "' and '" + concepts[index].name + "'.");
    };
    for (std::size_t i = 0; i < concepts.size(); ++i) {
        add(concepts[i].name, i);
        for (const auto& synonym : concepts[i].synonyms) add(synonym, i);
    }
    return made;
}

Vocabulary read_vocabulary(const fs::path& path, const Manifest& manifest) {
    const std::string where = path.u8string();
    if (manifest.concepts.empty()) throw BundleError(where + ": the vocabulary holds no concept.");
    auto arrays = read_npz(path);
    const std::size_t count = manifest.concepts.size();
    Vocabulary made;
    made.concepts = manifest.concepts;
    Shape length;
    made.features = taken(arrays, "features", 2, count, &length, where);
    made.rows = taken(arrays, "rows", 3, count, &made.row_shape, where);
    if (length[0] != manifest.geometry.embed_dim)
        throw BundleError(where + ": geometry.embed_dim is " + std::to_string(manifest.geometry.embed_dim) + ", but the text features have " +
                          std::to_string(length[0]) + " numbers.");
    check_features(made.features, static_cast<std::size_t>(length[0]), where);
    for (float value : made.rows)
        if (!std::isfinite(value)) throw BundleError(where + ": 'rows' holds NaN or infinity.");
    made.presence = calibration(arrays, "presence", 9, made.concepts, where);
    made.screening = calibration(arrays, "screening", 4, made.concepts, where);
    made.aliases = aliases(made.concepts, where);
    return made;
}

void check_shapes(const Manifest& manifest, const Vocabulary& vocabulary, const std::string& where) {
    const auto& g = manifest.geometry;
    const std::int64_t slots = manifest.prompting.click_slots + 3, patches = std::int64_t{g.patch_grid} * g.patch_grid;
    Shape row{1};
    row.insert(row.end(), vocabulary.row_shape.begin(), vocabulary.row_shape.end());
    const Shape mask{1, 1, g.mask_size, g.mask_size};
    const std::map<std::string, Shape> expected = {
        {"pixels", {1, 3, g.image_size, g.image_size}}, {"clip_features", {1 + patches, g.embed_dim}},
        {"similarity", {1, 1, g.patch_grid, g.patch_grid}}, {"text_row", row}, {"points", {1, slots, 2}}, {"labels", {1, slots}},
        {"dense_prompt", mask}, {"mask_logits", mask}, {"iou", {1, 1}}, {"text_embedding", {1, g.embed_dim}}, {"text", {1, g.embed_dim}}};
    for (const auto& [target, graphs] : manifest.targets)
        for (const auto& [name, graph] : graphs)
            for (const auto* list : {&graph.inputs, &graph.outputs})
                for (const TensorSpec& tensor : *list) {
                    const auto found = expected.find(tensor.name);
                    if (found != expected.end() && tensor.shape != found->second)
                        throw BundleError(where + ": '" + tensor.name + "' of the graph '" + name + "' for " + target + " has shape " +
                                          shown(tensor.shape) + "; the bundle's sizes ask for " + shown(found->second) + ".");
                }
}

/// A path of the manifest as it may be shown: without control characters.
std::string quoted(const std::string& name) {
    std::string text;
    for (char c : name.substr(0, 100)) {
        char code[5];
        std::snprintf(code, sizeof code, "\\x%02x", static_cast<unsigned char>(c));
        text += static_cast<unsigned char>(c) < 0x20 || c == 0x7F ? std::string(code) : std::string(1, c);
    }
    return "'" + text + "'";
}

}  // namespace

std::size_t Vocabulary::row_size() const { return static_cast<std::size_t>(row_shape[0] * row_shape[1]); }

std::size_t Vocabulary::index(const std::string& name) const {
    const auto found = aliases.find(fold(name));
    if (found != aliases.end()) return found->second;
    std::string known;
    for (const auto& one : concepts) known += (known.empty() ? "" : ", ") + one.name;
    throw UnknownConceptError("no concept '" + name + "'; the bundle holds: " + known + ".");
}

Bundle::Bundle(const fs::path& where) : folder(where), manifest(read_manifest(where)) {
    vocabulary = read_vocabulary(verified(vocabulary_file), manifest);
    check_shapes(manifest, vocabulary, (folder / manifest_file).u8string());
}

const std::map<std::string, GraphSpec>& Bundle::graphs(const std::string& target) const {
    const auto found = manifest.targets.find(target);
    if (found == manifest.targets.end()) throw BundleError(folder.u8string() + ": holds no graphs for '" + target + "'.");
    for (const char* name : {"image", "concept", "decoder"})
        if (!found->second.count(name)) throw BundleError((folder / manifest_file).u8string() + ": target '" + target + "' lacks the graph '" + name + "'.");
    return found->second;
}

fs::path Bundle::verified_graph(const std::string& target, const std::string& name) const {
    const std::string path = graphs(target).at(name).path;
    const auto begins = [](const std::string& text, const std::string& with) { return text.compare(0, with.size(), with) == 0; };
    const std::string weights = path.size() > 4 && path.substr(path.size() - 4) == ".xml" ? path.substr(0, path.size() - 4) + ".bin" : path + ".data";
    bool listed = false;
    inside(path);  // a path that leaves the folder is refused as such
    if (std::error_code none; !manifest.files.count(weights) && fs::exists(inside(weights), none))  // engines find them by their name
        throw BundleError((folder / fs::u8path(weights)).u8string() + ": not listed in " + manifest_file + ", so nothing protects it; refused. Remove it.");
    for (const auto& [file, spec] : manifest.files) {
        const bool part = file == path || begins(file, path + "/");
        listed = listed || part;
        if (part || begins(file, weights)) verified(file);
    }
    if (!listed) throw BundleError((folder / manifest_file).u8string() + ": does not list the file " + quoted(path) + " of graph '" + name + "'.");
    return inside(path);
}

fs::path Bundle::verified(const std::string& name) const {
    const auto listed = manifest.files.find(name);
    if (listed == manifest.files.end()) throw BundleError((folder / manifest_file).u8string() + ": does not list " + quoted(name) + ".");
    const fs::path path = inside(name);
    std::error_code error;
    if (!fs::is_regular_file(path, error))
        throw BundleError(path.u8string() + (fs::exists(path, error) ? ": no ordinary file." : ": missing from the bundle.") + again);
    const auto size = fs::file_size(path, error);
    if (error || size != listed->second.size)
        throw BundleError(path.u8string() + ": truncated or altered: expected " + std::to_string(listed->second.size) + " bytes, got " + std::to_string(size) + "." + again);
    if (sha256(path) != listed->second.sha256) throw BundleError(path.u8string() + ": altered: its SHA-256 is not the one in the manifest." + again);
    return path;
}

fs::path Bundle::inside(const std::string& name) const {
    const std::string where = (folder / manifest_file).u8string() + ": the path " + quoted(name);
    for (char c : name)
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) throw BundleError(where + " holds characters that no path may; refused.");
    bool leaves = name.empty() || name[0] == '/' || name.find('\\') != std::string::npos || name.find(':') != std::string::npos;
    std::istringstream parts(name);
    for (std::string part; std::getline(parts, part, '/');) leaves = leaves || part == "..";
    if (leaves) throw BundleError(where + " leads out of the bundle; refused.");
    try {
        const fs::path path = folder / fs::u8path(name), root = fs::canonical(folder), real = fs::weakly_canonical(path);
        const fs::path relative = real.lexically_relative(root);
        if (relative.empty() || *relative.begin() == "..") throw BundleError(where + " leads out of the bundle; refused. It is a link: copy the bundle with what it links to.");
        return path;
    } catch (const std::exception& error) {
        if (dynamic_cast<const BundleError*>(&error)) throw;
        throw BundleError(where + " cannot be followed (" + error.what() + ").");
    }
}

}  // namespace cgsam
