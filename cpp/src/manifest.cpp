#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "bundle.hpp"
#include "cgsam/errors.hpp"

namespace cgsam {
namespace {

using Json = nlohmann::json;

constexpr std::int64_t largest_side = 1 << 14, most_values = std::int64_t{1} << 31;

/// A value and its place, for messages.
class Value {
public:
    Value(const Json& json, std::string where) : json_(json), where_(std::move(where)) {}

    [[noreturn]] void refuse(const std::string& expected) const {
        throw BundleError(where_ + ": expected " + expected + ", got " + json_.dump(-1, ' ', true, Json::error_handler_t::replace).substr(0, 60) + ".");
    }

    Value operator[](const std::string& key) const {
        object();
        const auto at = json_.find(key);
        if (at == json_.end()) throw BundleError(where_ + ": '" + key + "' is missing.");
        return {*at, where_ + "." + printable(key)};
    }

    bool has(const std::string& key) const { return json_.is_object() && json_.contains(key); }

    std::int64_t integer() const {
        if (!json_.is_number_integer() || (json_.is_number_unsigned() && json_.get<std::uint64_t>() > std::uint64_t{1} << 62)) refuse("a whole number");
        return json_.get<std::int64_t>();
    }

    double number() const {
        if (!json_.is_number() || !std::isfinite(json_.get<double>())) refuse("a finite number");
        return json_.get<double>();
    }

    std::string text() const {
        if (!json_.is_string()) refuse("a text");
        return json_.get<std::string>();
    }

    std::vector<Value> list() const {
        if (!json_.is_array()) refuse("a list");
        std::vector<Value> made;
        for (std::size_t i = 0; i < json_.size(); ++i) made.emplace_back(json_[i], where_ + "[" + std::to_string(i) + "]");
        return made;
    }

    std::vector<std::string> texts() const {
        std::vector<std::string> made;
        for (const Value& one : list()) made.push_back(one.text());
        return made;
    }

    std::map<std::string, Value> entries() const {
        object();
        std::map<std::string, Value> made;
        for (const auto& [key, value] : json_.items()) made.emplace(key, Value(value, where_ + "." + printable(key)));
        return made;
    }

    const std::string& where() const { return where_; }
    bool is_true() const { return json_.is_boolean() && json_.get<bool>(); }

private:
    void object() const {
        if (!json_.is_object()) refuse("an object");
    }

    static std::string printable(const std::string& key) { return Json(key).dump(-1, ' ', true, Json::error_handler_t::replace).substr(1, key.size()); }

    const Json& json_;
    std::string where_;
};

/// Refuses an object that has a key twice: which of the values counts differs from reader to reader.
Json parsed(const std::string& text, const std::string& where) {
    std::vector<std::set<std::string>> open;
    std::string twin;
    std::size_t deepest = 0;
    const auto watch = [&](int depth, Json::parse_event_t event, Json& value) {
        deepest = std::max(deepest, static_cast<std::size_t>(depth));
        if (deepest > 100) throw BundleError(where + ": not JSON (nested too deep).");
        if (event == Json::parse_event_t::object_start) open.emplace_back();
        if (event == Json::parse_event_t::object_end && !open.empty()) open.pop_back();
        if (event == Json::parse_event_t::key && !open.empty() && !open.back().insert(value.get<std::string>()).second) twin = value.get<std::string>();
        return true;
    };
    try {
        Json made = Json::parse(text, watch);
        if (!twin.empty()) throw BundleError(where + ": not JSON (the key '" + twin + "' stands there twice).");
        return made;
    } catch (const Json::exception& error) {
        throw BundleError(where + ": not JSON (" + error.what() + ").");
    }
}

int between(const Value& value, std::int64_t low, std::int64_t high) {
    const std::int64_t got = value.integer();
    if (got < low || got > high)
        throw BundleError(value.where() + " must be from " + std::to_string(low) + " to " + std::to_string(high) + ", got " + std::to_string(got) + ".");
    return static_cast<int>(got);
}

std::vector<TensorSpec> tensors(const Value& value) {
    std::vector<TensorSpec> made;
    for (const Value& one : value.list()) {
        TensorSpec tensor{one["name"].text(), {}};
        std::int64_t count = 1;
        for (const Value& side : one["shape"].list()) {
            const std::int64_t length = side.integer();
            if (length <= 0 || length > most_values / count)
                throw BundleError(one.where() + ".shape: the tensor '" + tensor.name + "' cannot have this shape.");
            count *= length;
            tensor.shape.push_back(length);
        }
        made.push_back(std::move(tensor));
    }
    return made;
}

Prompting prompting(const Value& value) {
    Prompting made;
    const double threshold = value["threshold"].number();
    made.threshold = static_cast<float>(threshold);
    made.dense_value = static_cast<float>(value["dense_value"].number());
    made.click_slots = between(value["click_slots"], 1, largest_side);
    made.points = between(value["points"], 1, made.click_slots);
    made.trained_for = value["trained_for"].texts();
    if (!(threshold > 0 && threshold < 1)) throw BundleError(value.where() + ".threshold must be above 0 and below 1, got " + std::to_string(threshold) + ".");
    return made;
}

int version(const Json& json, const std::string& where) {
    if (!json.is_object() || json.value("format", Json()) != "cgsam-bundle") throw BundleError(where + ": not the manifest of a cgsam-bundle.");
    const Value value(json, where);
    const auto found = json.find("format_version");
    if (found == json.end() || !found->is_number_integer() || *found < 1) throw BundleError(where + ": format_version must be a number from 1.");
    const std::int64_t got = value["format_version"].integer();
    if (got > newest_format)
        throw BundleError(where + ": format version " + std::to_string(got) + " is newer than " + std::to_string(newest_format) +
                          ", the newest that this version of cgsam reads. Upgrade it.");
    return static_cast<int>(got);
}

}  // namespace

Manifest parse_manifest(const std::string& text, const std::string& where) {
    const Json json = parsed(text, where);
    Manifest made;
    made.format_version = version(json, where);
    const Value value(json, where);
    const Value geometry = value["geometry"];
    made.geometry = {between(geometry["image_size"], 1, largest_side), between(geometry["mask_size"], 1, largest_side),
                     between(geometry["patch_grid"], 1, largest_side), between(geometry["embed_dim"], 1, largest_side)};
    made.prompting = prompting(value["prompting"]);
    for (const Value& one : value["concepts"].list())
        made.concepts.push_back({one["name"].text(), one.has("synonyms") ? one["synonyms"].texts() : std::vector<std::string>{}});
    for (const auto& [path, file] : value["files"].entries()) {
        const std::int64_t size = file["size"].integer();
        if (size < 0) file["size"].refuse("a size");
        made.files[path] = {static_cast<std::uint64_t>(size), file["sha256"].text()};
    }
    for (const auto& [target, graphs] : value["targets"].entries())
        for (const auto& [name, graph] : graphs.entries())
            made.targets[target][name] = {graph["path"].text(), tensors(graph["inputs"]), tensors(graph["outputs"])};
    made.degraded = value.has("quality") && value["quality"].has("degraded") && value["quality"]["degraded"].is_true();
    return made;
}

}  // namespace cgsam
