// What the vectors do not hold: links, manifests that only some parsers mind, and several threads on one image.
#pragma once

#include <thread>

#include "hostile.hpp"
#include "stages.hpp"

namespace vectors {

/// What is wrong with how a bundle is refused, or nothing.
inline std::string refusal_problem(const fs::path& bundle, const std::string& word) {
    try {
        cgsam::Segmenter segmenter(bundle);
        return "was not refused";
    } catch (const cgsam::Error& error) {
        return std::string(error.what()).find(word) != std::string::npos ? "" : "the message lacks '" + word + "': " + error.what();
    }
}

inline std::string twin_keys(const fs::path& bundle) {
    const std::string text = content(bundle / "manifest.json");
    write(bundle / "manifest.json", "{\"files\": {}, " + text.substr(text.find('{') + 1));
    return refusal_problem(bundle, "stands there twice");
}

inline std::string nested_deep(const fs::path& bundle) {
    write(bundle / "manifest.json", std::string(100000, '['));
    return refusal_problem(bundle, "nested too deep");
}

inline std::string link_outside(const fs::path& bundle) {
#ifndef _WIN32
    const fs::path graph = bundle / "onnxruntime" / "concept.onnx", elsewhere = bundle.parent_path() / "blob";
    fs::rename(graph, elsewhere);
    fs::create_symlink(elsewhere, graph);
    return refusal_problem(bundle, "It is a link");
#else
    (void)bundle;
    return "";
#endif
}

inline std::string unlisted_weights(const fs::path& bundle) {
    write(bundle / "onnxruntime" / "concept.onnx.data", "anything");
    return refusal_problem(bundle, "concept.onnx.data: not listed in manifest.json");
}

/// Four threads ask one encoded image, which keeps nothing or everything between them; each must get what one alone gets.
inline std::string several_threads(const fs::path& bundle) {
    for (const std::size_t kept : {std::size_t{0}, std::size_t{64} << 20}) {
        cgsam::Options options;
        options.cache_bytes = kept;
        const cgsam::Segmenter segmenter(bundle, options);
        cgsam::Image image{40, 30, std::vector<std::uint8_t>(40 * 30 * 3)};
        for (std::size_t i = 0; i < image.rgb.size(); ++i) image.rgb[i] = static_cast<std::uint8_t>(i * 37 % 251);
        const auto encoded = segmenter.encode(image);
        const auto names = segmenter.concepts();
        std::vector<cgsam::Mask> alone, together(4 * names.size());
        for (const auto& name : names) alone.push_back(encoded.predict(name).mask());
        std::vector<std::thread> threads;
        for (std::size_t t = 0; t < 4; ++t)
            threads.emplace_back([&, t] {
                for (std::size_t i = 0; i < names.size(); ++i) {
                    const std::size_t at = (i + t) % names.size();
                    together[t * names.size() + at] = encoded.predict(names[at]).mask();
                }
            });
        for (auto& thread : threads) thread.join();
        for (std::size_t i = 0; i < together.size(); ++i)
            if (together[i].pixels != alone[i % names.size()].pixels) return "another mask of " + names[i % names.size()] + " than one thread gets";
    }
    return "";
}

/// How many of these went wrong.
inline int run_own(const fs::path& good, const fs::path& work) {
    const std::map<std::string, std::function<std::string(const fs::path&)>> cases = {
        {"twin keys", twin_keys}, {"a nested manifest", nested_deep}, {"a link outside", link_outside}, {"weights that are not listed", unlisted_weights}, {"several threads", several_threads}};
    int wrong = 0;
    for (const auto& [name, run] : cases) {
        const fs::path bundle = work / "own.cgsam";
        fs::remove_all(work);
        fs::create_directories(work);
        fs::copy(good, bundle, fs::copy_options::recursive);
        const std::string problem = run(bundle);
        wrong += !problem.empty();
        std::printf("%s %s %s\n", problem.empty() ? "passed" : "FAILED", name.c_str(), problem.c_str());
    }
    fs::remove_all(work);
    return wrong;
}

}  // namespace vectors
