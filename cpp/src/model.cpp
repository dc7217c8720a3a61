#include "model.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <iostream>
#include <tuple>

namespace cgsam {
namespace {

constexpr float absent_logit = -10.f;
constexpr std::size_t for_all = static_cast<std::size_t>(-1);  // the key of an embedding that serves all concepts

std::string chosen_target(const Bundle& bundle) {
    for (const auto& target : engine_targets())
        if (bundle.holds(target)) return target;
    throw BundleError(bundle.folder.u8string() + ": holds no graphs for " + engine_version() + ".");
}

std::size_t count_of(const Shape& shape) {
    std::int64_t count = 1;
    for (auto side : shape) count *= side;
    return static_cast<std::size_t>(count);
}

std::vector<std::string> graph_names(const std::map<std::string, GraphSpec>& graphs) {
    std::vector<std::string> names{"image", "concept", "decoder"};
    if (graphs.count("clip")) names.insert(names.begin(), "clip");
    return names;
}

}  // namespace

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

Model::Model(const std::filesystem::path& path, const Options& given) : bundle(path), options(given) {
    const std::string target = chosen_target(bundle);
    graphs_ = bundle.graphs(target);
    engine_ = make_engine(options.threads, options.device);
    for (const auto& name : graph_names(graphs_)) {
        const auto file = bundle.verified_graph(target, name);
        try {
            sessions_[name] = engine_->open(file, graphs_.at(name));
        } catch (const Error&) {
            throw;
        } catch (const std::exception& error) {
            throw BackendError(file.u8string() + ": " + engine_version() + " cannot open the graph '" + name + "' (" + error.what() + ").");
        }
    }
    if (bundle.manifest.degraded)
        warn(bundle.folder.u8string() + ": exported although its masks are too far from the PyTorch model's; see its report.html.");
}

Tensors Model::run(const std::string& graph, const Tensors& tensors) const {
    const GraphSpec& spec = graphs_.at(graph);
    std::vector<const std::vector<float>*> inputs;
    for (const auto& input : spec.inputs) {
        const auto found = tensors.find(input.name);
        if (found == tensors.end() || found->second.size() != count_of(input.shape))
            throw BundleError(bundle.folder.u8string() + ": nothing makes the input '" + input.name + "' of the graph '" + graph + "' in its size.");
        inputs.push_back(&found->second);
    }
    std::vector<std::vector<float>> made;
    try {
        made = sessions_.at(graph)->run(inputs);
    } catch (const std::exception& error) {
        throw BackendError(engine_version() + " failed in the graph '" + graph + "' (" + error.what() + ").");
    }
    Tensors out;
    for (std::size_t i = 0; i < spec.outputs.size(); ++i) {
        if (made[i].size() != count_of(spec.outputs[i].shape))
            throw BackendError("the graph '" + graph + "' gave '" + spec.outputs[i].name + "' in another size than the manifest says.");
        out[spec.outputs[i].name] = std::move(made[i]);
    }
    return out;
}

Tensors Model::features(const Image& image) const {
    const auto pixels = to_pixels(image, bundle.manifest.geometry.image_size);
    Tensors tensors{{"pixels", std::vector<float>(pixels.begin(), pixels.end())}}, out;
    for (const char* graph : {"clip", "image"}) {
        if (!graphs_.count(graph)) continue;
        for (auto& [name, values] : run(graph, tensors)) {
            tensors[name] = values;
            out[name] = std::move(values);
        }
    }
    const auto found = out.find("clip_features");
    if (found == out.end()) throw BundleError(bundle.folder.u8string() + ": no graph makes 'clip_features'.");
    return out;
}

bool Model::takes(const std::string& graph, const std::string& tensor) const {
    const auto& inputs = graphs_.at(graph).inputs;
    return std::any_of(inputs.begin(), inputs.end(), [&](const auto& input) { return input.name == tensor; });
}

void Model::warn_of_prompts(const std::string& kind) const {
    const auto& kinds = bundle.manifest.prompting.trained_for;
    auto& warned = kind == "text" ? warned_of_text_ : warned_of_clicks_;
    if (std::find(kinds.begin(), kinds.end(), kind) != kinds.end() || warned.exchange(true)) return;
    warn("this model was not trained for prompts of this kind (" + kind + "); its masks are worse than they could be.");
}

void Model::warn(const std::string& text) const {
    if (options.warn)
        options.warn(text);
    else
        std::cerr << "cgsam: " << text << '\n';
}

Decoder::Decoder(std::shared_ptr<const Model> model, const Image& image)
    : width(image.width), height(image.height), model_(std::move(model)), features_(model_->features(image)) {
    const auto& bundle = model_->bundle;
    screened_ = screen(features_.at("clip_features"), bundle.vocabulary.features,
                       static_cast<std::size_t>(bundle.manifest.geometry.embed_dim), bundle.vocabulary.screening);
}

std::vector<std::size_t> Decoder::indices(const std::vector<std::string>& concepts) const {
    const auto& vocabulary = model_->bundle.vocabulary;
    std::vector<std::size_t> made;
    for (const auto& name : concepts) {
        const std::size_t index = vocabulary.index(name);
        if (std::find(made.begin(), made.end(), index) == made.end()) made.push_back(index);
    }
    if (concepts.empty())
        for (std::size_t i = 0; i < vocabulary.concepts.size(); ++i) made.push_back(i);
    return made;
}

Result Decoder::segment(const std::vector<std::size_t>& indices, const Limits& limits, double started) const {
    if (limits.max_concepts && *limits.max_concepts < 1) throw InputError("max_concepts must be 1 or more.");
    if (limits.time_budget && !(*limits.time_budget > 0)) throw InputError("time_budget must be more than 0 seconds.");
    std::map<std::size_t, ConceptResult> found;
    Result result;
    std::size_t begun = 0;
    for (std::size_t index : screened_.likeliest_first(indices)) {
        const auto& name = model_->bundle.vocabulary.concepts[index].name;
        if (limits.skip_absent && screened_.ruled_out[index]) {
            found[index] = absent(index);
        } else if (limits.max_concepts && begun >= static_cast<std::size_t>(*limits.max_concepts)) {
            result.left_out[name] = "max_concepts";
        } else if (begun && limits.time_budget && now() - started >= *limits.time_budget) {
            result.left_out[name] = "time_budget";
        } else {
            ++begun;
            found[index] = decode(index, {});
        }
    }
    for (std::size_t index : indices)
        if (found.count(index)) result.concepts.push_back(std::move(found[index]));
    return result;
}

ConceptResult Decoder::decode(std::size_t index, const Clicks& given) const {
    const auto& [geometry, prompting] = std::tie(model_->bundle.manifest.geometry, model_->bundle.manifest.prompting);
    const auto& vocabulary = model_->bundle.vocabulary;
    const int size = geometry.image_size;
    const auto map = similarity_map(screened_.scores[index], geometry.patch_grid, size);
    const Clicks clicks = given.empty() ? drawn_clicks(text_points(map, prompting.threshold, prompting.points), size, width, height) : given;
    Slots slots = fill_slots(clicks, width, height, size, prompting.click_slots);
    auto out = model_->run("decoder", {{"image_embedding", embedding(index)},
                                       {"points", std::move(slots.points)},
                                       {"labels", std::move(slots.labels)},
                                       {"dense_prompt", dense_prompt(map, size, geometry.mask_size, prompting.threshold, prompting.dense_value)}});
    ConceptResult made;
    made.name = vocabulary.concepts[index].name;
    made.logits = std::move(out.at("mask_logits"));
    made.mask_size = geometry.mask_size;
    made.score = out.at("iou").at(0);
    if (!std::all_of(made.logits.begin(), made.logits.end(), [](float v) { return std::isfinite(v); }))
        throw BackendError(engine_version() + " returned NaN or infinity for the mask.");
    made.similarity = screened_.scores[index];
    const auto length = static_cast<std::size_t>(geometry.embed_dim);
    made.evidence = evidence(made.logits, made.score, made.similarity, features_.at("clip_features").data(), &vocabulary.features[index * length], length);
    const Judgement judged = judge(made.evidence, &vocabulary.presence[9 * index]);
    made.presence = judged.presence;
    made.present = judged.present;
    made.clicks = clicks;
    made.width = width;
    made.height = height;
    return made;
}

std::vector<float> Decoder::embedding(std::size_t index) const {
    const std::size_t key = model_->takes("concept", "similarity") || model_->takes("concept", "text_row") ? index : for_all;
    const std::lock_guard<std::mutex> guard(lock_);
    for (auto at = kept_.begin(); at != kept_.end(); ++at)
        if (at->first == key) {
            kept_.splice(kept_.begin(), kept_, at);
            return kept_.front().second;
        }
    const auto& vocabulary = model_->bundle.vocabulary;
    Tensors tensors = features_;
    tensors["similarity"] = screened_.scores[index];
    const auto row = vocabulary.rows.begin() + static_cast<std::ptrdiff_t>(index * vocabulary.row_size());
    tensors["text_row"] = {row, row + static_cast<std::ptrdiff_t>(vocabulary.row_size())};
    auto out = model_->run("concept", tensors);
    std::vector<float> made = std::move(out.at("image_embedding"));
    const std::size_t most = model_->options.cache_bytes / (4 * made.size());
    while (!kept_.empty() && kept_.size() >= most) kept_.pop_back();
    if (most) kept_.emplace_front(key, made);
    return made;
}

ConceptResult Decoder::absent(std::size_t index) const {
    const auto& manifest = model_->bundle.manifest;
    ConceptResult made;
    made.name = model_->bundle.vocabulary.concepts[index].name;
    made.mask_size = manifest.geometry.mask_size;
    made.logits.assign(static_cast<std::size_t>(made.mask_size) * static_cast<std::size_t>(made.mask_size), absent_logit);
    made.presence = screened_.chances[index];
    made.skipped = true;
    made.similarity = screened_.scores[index];
    const auto length = static_cast<std::size_t>(manifest.geometry.embed_dim);
    made.evidence = evidence(made.logits, 0, made.similarity, features_.at("clip_features").data(), &model_->bundle.vocabulary.features[index * length], length);
    made.width = width;
    made.height = height;
    return made;
}

}  // namespace cgsam
