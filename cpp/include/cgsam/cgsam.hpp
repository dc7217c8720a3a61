// From a bundle and an image to masks: the words are those of the Python package (cgsam_edge.Segmenter).
//
//     cgsam::Segmenter segmenter("cars.cgsam");
//     cgsam::Encoded encoded = segmenter.encode(image);           // once an image
//     cgsam::ConceptResult car = encoded.predict("car");          // from text alone
//     cgsam::Mask mask = car.mask();                              // of the image's size
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cgsam/errors.hpp"
#include "cgsam/image.hpp"
#include "cgsam/prompts.hpp"

namespace cgsam {

struct Options {
    std::string device = "cpu";  ///< OpenVINO: also "gpu" or "npu"
    int threads = 0;             ///< CPU threads for one run; 0 means all cores
    /// For each encoded image, bytes of image embeddings that are kept, so that a further click costs only the decoder.
    std::size_t cache_bytes = std::size_t{64} << 20;
    /// Takes what a user should know, such as prompts that training did not use; none writes to stderr.
    std::function<void(const std::string&)> warn;
};

struct Limits {
    std::optional<int> max_concepts;    ///< compute the likeliest by similarity only
    std::optional<double> time_budget;  ///< seconds after which no further concept is started
    bool skip_absent = true;            ///< leave uncomputed what similarity alone rules out
};

/// One concept in one image; docs/bundle.md says what the numbers mean.
struct ConceptResult {
    std::string name;
    std::vector<float> logits;  ///< (mask_size, mask_size)
    int mask_size = 0;
    double score = 0, presence = 0;
    bool present = false, skipped = false;
    Evidence evidence{};
    std::vector<float> similarity;  ///< (patch_grid, patch_grid)
    Clicks clicks;                  ///< those used, in the image's pixels
    int width = 0, height = 0;      ///< of the image

    /// The logits interpolated to the image, then > 0.
    Mask mask() const { return mask_of(logits, mask_size, width, height); }
};

/// The concepts asked for, in that order, without what the limits left out.
struct Result {
    std::vector<ConceptResult> concepts;
    std::map<std::string, std::string> left_out;  ///< names, and "max_concepts" or "time_budget"
};

class Model;
class Decoder;

/// An image that was encoded once; ask it for any number of concepts and prompts, from several threads too.
class Encoded {
public:
    explicit Encoded(std::shared_ptr<Decoder> decoder) : decoder_(std::move(decoder)) {}

    /// Segment from text alone; no names mean all concepts.
    Result segment(const std::vector<std::string>& concepts = {}, const Limits& limits = {}) const;

    /// Segment one concept from text with clicks and a box; without either, from text alone.
    ConceptResult predict(const std::string& concept_name, const Clicks& clicks = {}) const;

    /// Names of the concepts that similarity alone rules out.
    std::vector<std::string> ruled_out() const;

private:
    std::shared_ptr<Decoder> decoder_;
};

/// Segments images by concept with an exported bundle. Safe to use from several threads.
class Segmenter {
public:
    explicit Segmenter(const std::filesystem::path& bundle, const Options& options = {});

    Result segment(const Image& image, const std::vector<std::string>& concepts = {}, const Limits& limits = {}) const;
    Encoded encode(const Image& image) const;

    std::vector<std::string> concepts() const;
    const Geometry& geometry() const;
    const Prompting& prompting() const;
    int format_version() const;

    /// The engine of this build, and its version.
    static std::string engine();

private:
    std::shared_ptr<Model> model_;
};

}  // namespace cgsam
