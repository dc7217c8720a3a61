// Reading docs/vectors: values, tensors, and whether one comes near enough to another.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <vector>

namespace vectors {

using Json = nlohmann::json;
namespace fs = std::filesystem;

inline std::string content(const fs::path& path) {
    std::ifstream file(path, std::ios::binary);
    if (!file) throw std::runtime_error(path.u8string() + ": cannot be read");
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

class Folder {
public:
    explicit Folder(const fs::path& path) : path_(path), index_(Json::parse(content(path / "vectors.json"))) {}

    const Json& index() const { return index_; }
    const fs::path& path() const { return path_; }

    /// The numbers of a tensor or a list; null counts as NaN.
    std::vector<float> floats(const Json& value) const {
        std::vector<float> made;
        if (value.is_object() && value.at("dtype") == "float32") {
            const std::string bytes = content(path_ / value.at("file").get<std::string>());
            made.resize(bytes.size() / 4);
            for (std::size_t i = 0; i < made.size(); ++i) {
                std::uint32_t bits = 0;
                for (std::size_t k = 4; k-- > 0;) bits = bits << 8 | static_cast<unsigned char>(bytes[4 * i + k]);
                std::memcpy(&made[i], &bits, 4);
            }
        } else if (value.is_object()) {
            for (auto byte : this->bytes(value)) made.push_back(byte);
        } else {
            add(value, made);
        }
        return made;
    }

    std::vector<std::uint8_t> bytes(const Json& value) const {
        const std::string held = content(path_ / value.at("file").get<std::string>());
        return {held.begin(), held.end()};
    }

    /// What is wrong with a value, or nothing.
    std::string problem(const std::string& stage, const std::string& key, const Json& expected, const std::vector<float>& got) const {
        const auto wanted = floats(expected);
        if (wanted.size() != got.size()) return key + ": expected " + std::to_string(wanted.size()) + " values, got " + std::to_string(got.size());
        const Json& all = index_.at("tolerances");
        const Json none = {{"absolute", 0.0}};
        const Json& allowed = all.contains(stage + "." + key) ? all.at(stage + "." + key) : all.contains(key) ? all.at(key) : none;
        const std::string kind = allowed.begin().key();
        const double off = distance(kind, wanted, got), limit = allowed.begin().value();
        if (off <= limit) return "";
        return key + ": off by " + std::to_string(off) + " (" + kind + "), " + std::to_string(limit) + " allowed";
    }

    static double distance(const std::string& kind, const std::vector<float>& a, const std::vector<float>& b) {
        double largest = 0, squares = 0, sum = 0, both = 0, either = 0, own = 0;
        for (std::size_t i = 0; i < a.size(); ++i) {
            const double apart = std::isnan(a[i]) || std::isnan(b[i]) ? (std::isnan(a[i]) == std::isnan(b[i]) ? 0 : INFINITY)
                                                                     : std::abs(static_cast<double>(a[i]) - b[i]);
            largest = std::max(largest, apart);
            squares += apart * apart;
            sum += a[i];
            both += a[i] > 0 && b[i] > 0;
            either += a[i] > 0 || b[i] > 0;
        }
        if (kind == "absolute" || a.empty()) return largest;
        if (kind == "iou") return either > 0 ? 1 - both / either : 0;
        const auto count = static_cast<double>(a.size());
        for (float value : a) own += (value - sum / count) * (value - sum / count);
        return std::sqrt(squares / count) / (own > 0 ? std::sqrt(own / count) : 1);
    }

private:
    static void add(const Json& value, std::vector<float>& made) {
        if (value.is_array())
            for (const Json& one : value) add(one, made);
        else if (value.is_boolean())
            made.push_back(value.get<bool>() ? 1.f : 0.f);
        else
            made.push_back(value.is_null() ? NAN : value.get<float>());
    }

    fs::path path_;
    Json index_;
};

}  // namespace vectors
