// The steps of the contract as the library computes them, by stage: what comes out for what is given, by key.
#pragma once

#include <cstdio>
#include <functional>
#include <map>

#include "../src/names.hpp"
#include "cgsam/cgsam.hpp"
#include "vector_file.hpp"

namespace vectors {

using Values = std::map<std::string, std::vector<float>>;
using Step = std::function<Values(const Folder&, const Json&)>;

template <typename T>
std::vector<float> as_floats(const T& values) {
    std::vector<float> made;
    for (const auto& value : values) made.push_back(static_cast<float>(value));
    return made;
}

inline cgsam::Image image_of(const Folder& in, const Json& value) {
    return {value.at("shape")[1], value.at("shape")[0], in.bytes(value)};
}

inline bool holds(const Json& given, const char* key) { return given.contains(key) && !given.at(key).is_null(); }

inline cgsam::Clicks clicks_of(const Json& given) {
    cgsam::Clicks clicks;
    if (holds(given, "points"))
        for (const Json& point : given.at("points")) clicks.points.push_back({point[0], point[1]});
    if (holds(given, "labels")) clicks.labels = given.at("labels").get<std::vector<double>>();
    if (holds(given, "box")) clicks.box = given.at("box").get<cgsam::Box>();
    return clicks;
}

inline Values slots(const Folder&, const Json& given) {
    const auto clicks = clicks_of(given);
    try {
        cgsam::check_clicks(clicks, given.at("width"), given.at("height"), given.at("click_slots"));
    } catch (const cgsam::PromptError&) {
        return {{"refused", {1.f}}};
    }
    const auto made = cgsam::fill_slots(clicks, given.at("width"), given.at("height"), given.at("size"), given.at("click_slots"));
    return {{"slot_points", made.points}, {"slot_labels", made.labels}};
}

inline Values points(const Folder& in, const Json& given) {
    const std::size_t width = given.at("map").at("shape")[1];
    std::vector<float> made;
    for (auto at : cgsam::text_points(in.floats(given.at("map")), given.at("threshold"), given.at("points"))) {
        made.push_back(static_cast<float>(at % width));
        made.push_back(static_cast<float>(at / width));
    }
    return {{"points", made}};
}

inline Values presence(const Folder& in, const Json& given) {
    const auto token = in.floats(given.at("class_token")), text = in.floats(given.at("text")), row = in.floats(given.at("row"));
    const auto found = cgsam::evidence(in.floats(given.at("logits")), given.at("score"), in.floats(given.at("similarity")), token.data(), text.data(), text.size());
    const auto judged = cgsam::judge(found, row.data());
    return {{"evidence", as_floats(found)}, {"presence", {static_cast<float>(judged.presence)}}, {"present", {judged.present ? 1.f : 0.f}}};
}

inline Values screening(const Folder& in, const Json& given) {
    const auto text = in.floats(given.at("features"));
    const auto made = cgsam::screen(in.floats(given.at("clip_features")), text, given.at("features").at("shape")[1], in.floats(given.at("rows")));
    std::vector<std::size_t> all(made.chances.size());
    for (std::size_t i = 0; i < all.size(); ++i) all[i] = i;
    return {{"chances", as_floats(made.chances)}, {"ruled_out", as_floats(made.ruled_out)}, {"order", as_floats(made.likeliest_first(all))}};
}

/// All but `priority`, whose numbers no float holds, and those that need a bundle.
inline const std::map<std::string, Step>& steps() {
    static const std::map<std::string, Step> made = {
        {"pixels", [](const Folder& in, const Json& g) { return Values{{"pixels", as_floats(cgsam::to_pixels(image_of(in, g.at("image")), g.at("size")))}}; }},
        {"upright", [](const Folder& in, const Json& g) { return Values{{"upright", as_floats(cgsam::upright(image_of(in, g.at("image")), g.at("orientation")).rgb)}}; }},
        {"map", [](const Folder& in, const Json& g) {
             return Values{{"map", cgsam::similarity_map(in.floats(g.at("similarity")), g.at("similarity").at("shape")[0], g.at("size"))}};
         }},
        {"dense", [](const Folder& in, const Json& g) {
             return Values{{"dense", cgsam::dense_prompt(in.floats(g.at("map")), g.at("map").at("shape")[0], g.at("mask_size"), g.at("threshold"), g.at("dense_value"))}};
         }},
        {"mask", [](const Folder& in, const Json& g) {
             return Values{{"mask", as_floats(cgsam::mask_of(in.floats(g.at("logits")), g.at("logits").at("shape")[0], g.at("width"), g.at("height")).pixels)}};
         }},
        {"names", [](const Folder&, const Json& g) { return Values{{"same", {cgsam::fold(g.at("a")) == cgsam::fold(g.at("b")) ? 1.f : 0.f}}}; }},
        {"points", points},
        {"slots", slots},
        {"presence", presence},
        {"screening", screening},
    };
    return made;
}

/// What is wrong with SplitMix64, or nothing.
inline std::string priority_problem(const Json& vector) {
    for (std::size_t i = 0; i < vector.at("given").at("index").size(); ++i) {
        char hex[17];
        std::snprintf(hex, sizeof hex, "%016llx", static_cast<unsigned long long>(cgsam::priority(vector.at("given").at("index")[i])));
        if (vector.at("expected").at("priority")[i] != hex) return "priority: got " + std::string(hex);
    }
    return "";
}

}  // namespace vectors
