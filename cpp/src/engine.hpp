// What an inference engine does for a segmenter. One of them is chosen when the library is built.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "bundle.hpp"

namespace cgsam {

using Tensors = std::map<std::string, std::vector<float>>;

/// An opened graph, safe to run from several threads.
class Session {
public:
    virtual ~Session() = default;
    /// Run on tensors in the order of the graph's inputs in the manifest; outputs come in the order of its outputs.
    virtual std::vector<std::vector<float>> run(const std::vector<const std::vector<float>*>& inputs) = 0;
};

class Engine {
public:
    virtual ~Engine() = default;
    virtual std::unique_ptr<Session> open(const std::filesystem::path& path, const GraphSpec& graph) = 0;
};

/// The engine of this build; 0 threads means all cores.
std::unique_ptr<Engine> make_engine(int threads, const std::string& device);

/// Its name and version, such as "onnxruntime 1.32.0".
std::string engine_version();

/// Targets of a bundle that it opens, the best first.
std::vector<std::string> engine_targets();

}  // namespace cgsam
