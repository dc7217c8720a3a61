#include "model.hpp"

namespace cgsam {

Segmenter::Segmenter(const std::filesystem::path& bundle, const Options& options) : model_(std::make_shared<Model>(bundle, options)) {}

Result Segmenter::segment(const Image& image, const std::vector<std::string>& concepts, const Limits& limits) const {
    const double started = now();
    for (const auto& name : concepts) model_->bundle.vocabulary.index(name);  // before the work, so that a typo costs nothing
    model_->warn_of_prompts("text");
    const Decoder decoder(model_, image);
    return decoder.segment(decoder.indices(concepts), limits, started);
}

Encoded Segmenter::encode(const Image& image) const { return Encoded(std::make_shared<Decoder>(model_, image)); }

std::vector<std::string> Segmenter::concepts() const {
    std::vector<std::string> names;
    for (const auto& one : model_->bundle.vocabulary.concepts) names.push_back(one.name);
    return names;
}

const Geometry& Segmenter::geometry() const { return model_->bundle.manifest.geometry; }
const Prompting& Segmenter::prompting() const { return model_->bundle.manifest.prompting; }
int Segmenter::format_version() const { return model_->bundle.manifest.format_version; }
std::string Segmenter::engine() { return engine_version(); }

Result Encoded::segment(const std::vector<std::string>& concepts, const Limits& limits) const {
    const double started = now();
    const auto indices = decoder_->indices(concepts);
    decoder_->model().warn_of_prompts("text");
    return decoder_->segment(indices, limits, started);
}

ConceptResult Encoded::predict(const std::string& concept_name, const Clicks& clicks) const {
    const Model& model = decoder_->model();
    const std::size_t index = model.bundle.vocabulary.index(concept_name);
    check_clicks(clicks, decoder_->width, decoder_->height, model.bundle.manifest.prompting.click_slots);
    model.warn_of_prompts(clicks.empty() ? "text" : "clicks");
    return decoder_->decode(index, clicks);
}

std::vector<std::string> Encoded::ruled_out() const {
    std::vector<std::string> names;
    for (std::size_t i : decoder_->indices({}))
        if (decoder_->screened().ruled_out[i]) names.push_back(decoder_->model().bundle.vocabulary.concepts[i].name);
    return names;
}

}  // namespace cgsam
