// Making bundles by the recipes of docs/vectors/hostile.json.
#pragma once

#include "../src/sha256.hpp"
#include "vector_file.hpp"

namespace vectors {

inline void write(const fs::path& path, const std::string& text) {
    std::ofstream(path, std::ios::binary | std::ios::trunc).write(text.data(), static_cast<std::streamsize>(text.size()));
}

inline std::string from_base64(const std::string& text) {
    static const std::string letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::string out;
    std::uint32_t held = 0;
    int bits = 0;
    for (char c : text) {
        const auto value = letters.find(c);
        if (value == std::string::npos) break;
        held = held << 6 | static_cast<std::uint32_t>(value);
        if ((bits += 6) >= 8) out.push_back(static_cast<char>(held >> (bits -= 8) & 0xFF));
    }
    return out;
}

inline void change_file(const fs::path& path, const Json& step) {
    if (step.contains("gone")) {
        fs::remove(path);
        return;
    }
    std::string bytes = content(path);
    if (step.contains("keep"))
        bytes.resize(step.at("keep"));
    else if (step.contains("flip"))
        bytes[step.at("flip")] = static_cast<char>(bytes[step.at("flip")] ^ 1);
    else
        bytes = from_base64(step.at("base64"));
    write(path, bytes);
}

inline Json& place(Json& manifest, const Json& keys, std::size_t count) {
    Json* at = &manifest;
    for (std::size_t i = 0; i < count; ++i) at = keys[i].is_number() ? &(*at)[keys[i].get<std::size_t>()] : &(*at)[keys[i].get<std::string>()];
    return *at;
}

inline void apply(const Json& step, const fs::path& bundle) {
    if (step.contains("file")) return change_file(bundle / step.at("file").get<std::string>(), step);
    Json manifest = Json::parse(content(bundle / "manifest.json"));
    if (step.contains("relist")) {
        const fs::path path = bundle / step.at("relist").get<std::string>();
        manifest["files"][step.at("relist").get<std::string>()] = {{"size", fs::file_size(path)}, {"sha256", cgsam::sha256(path)}};
    } else if (step.contains("set")) {
        place(manifest, step.at("set"), step.at("set").size()) = step.at("to");
    } else {
        const Json& keys = step.at("unset");
        place(manifest, keys, keys.size() - 1).erase(keys.back().get<std::string>());
    }
    write(bundle / "manifest.json", manifest.dump());
}

inline fs::path make(const Json& recipe, const fs::path& good, const fs::path& folder) {
    const fs::path made = folder / (recipe.at("name").get<std::string>() + ".cgsam");
    fs::remove_all(made);
    fs::create_directories(folder);
    fs::copy(good, made, fs::copy_options::recursive);
    for (const Json& step : recipe.at("steps")) apply(step, made);
    return made;
}

}  // namespace vectors
