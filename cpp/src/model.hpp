// A bundle with its graphs opened, and the concepts of one encoded image.
#pragma once

#include <atomic>
#include <list>
#include <mutex>

#include "bundle.hpp"
#include "cgsam/cgsam.hpp"
#include "engine.hpp"

namespace cgsam {

class Model {
public:
    Model(const std::filesystem::path& path, const Options& options);

    /// Run a graph on those of the tensors that it takes.
    Tensors run(const std::string& graph, const Tensors& tensors) const;
    /// What all concepts of an image share: the outputs of `clip`, where the bundle has it, and of `image`.
    Tensors features(const Image& image) const;
    bool takes(const std::string& graph, const std::string& tensor) const;
    void warn_of_prompts(const std::string& kind) const;
    void warn(const std::string& text) const;

    const Bundle bundle;
    const Options options;

private:
    std::map<std::string, GraphSpec> graphs_;
    std::unique_ptr<Engine> engine_;  // outlives its sessions
    std::map<std::string, std::unique_ptr<Session>> sessions_;
    mutable std::atomic<bool> warned_of_text_{false}, warned_of_clicks_{false};
};

class Decoder {
public:
    Decoder(std::shared_ptr<const Model> model, const Image& image);

    Result segment(const std::vector<std::size_t>& indices, const Limits& limits, double started) const;
    ConceptResult decode(std::size_t index, const Clicks& clicks) const;
    const Screened& screened() const { return screened_; }
    const Model& model() const { return *model_; }
    std::vector<std::size_t> indices(const std::vector<std::string>& concepts) const;

    const int width, height;

private:
    std::vector<float> embedding(std::size_t index) const;
    ConceptResult absent(std::size_t index) const;

    std::shared_ptr<const Model> model_;
    Tensors features_;
    Screened screened_;
    mutable std::mutex lock_;
    mutable std::list<std::pair<std::size_t, std::vector<float>>> kept_;  // the latest first
};

/// Seconds of a clock that only goes forward.
double now();

}  // namespace cgsam
