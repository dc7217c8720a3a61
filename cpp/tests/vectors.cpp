// All vectors of docs/vectors, and the bundles that must be refused:
//
//     cgsam_vectors FOLDER [--results FILE --target TEXT --how hardware|emulated]
#include <chrono>
#include <ctime>
#include <iostream>
#ifndef _WIN32
#include <sys/resource.h>
#endif

#include "hostile.hpp"
#include "own.hpp"
#include "stages.hpp"

namespace {

using namespace vectors;

struct Tally {
    Json stages = Json::object();
    int wrong = 0;

    void count(const std::string& stage, const std::string& name, const std::string& problem) {
        if (!stages.contains(stage)) stages[stage] = Json::object();
        Json& row = stages[stage];
        row["of"] = row.value("of", 0) + 1;
        row["passed"] = row.value("passed", 0) + (problem.empty() ? 1 : 0);
        if (problem.empty()) return;
        ++wrong;
        std::cout << "FAILED " << stage << " " << name << ": " << problem << '\n';
    }
};

std::string problem_of(const Folder& in, const Json& vector, const Values& got) {
    for (const auto& [key, expected] : vector.at("expected").items()) {
        const auto found = got.find(key);
        if (found == got.end()) return key + ": nothing came out";
        const auto problem = in.problem(vector.at("stage"), key, expected, found->second);
        if (!problem.empty()) return problem;
    }
    return got.size() == vector.at("expected").size() ? "" : "more came out than is expected";
}

Values of_result(const cgsam::ConceptResult& r, const cgsam::Segmenter& segmenter, const cgsam::Image& image) {
    const auto& [g, p] = std::tie(segmenter.geometry(), segmenter.prompting());
    const auto map = cgsam::similarity_map(r.similarity, g.patch_grid, g.image_size);
    const auto slots = cgsam::fill_slots(r.clicks, image.width, image.height, g.image_size, p.click_slots);
    return {{"similarity", r.similarity}, {"slot_points", slots.points}, {"slot_labels", slots.labels},
            {"dense", cgsam::dense_prompt(map, g.image_size, g.mask_size, p.threshold, p.dense_value)},
            {"logits", r.logits}, {"score", {static_cast<float>(r.score)}}, {"evidence", as_floats(r.evidence)},
            {"presence", {static_cast<float>(r.presence)}}, {"present", {r.present ? 1.f : 0.f}}, {"mask", as_floats(r.mask().pixels)}};
}

std::string segment_problem(const Folder& in, const cgsam::Segmenter& segmenter, const Json& vector) {
    const Json& given = vector.at("given");
    const Json& expected = vector.at("expected");
    cgsam::Limits limits;
    limits.skip_absent = given.value("skip_absent", true);
    if (given.contains("max_concepts")) limits.max_concepts = given.at("max_concepts").get<int>();
    const auto result = segmenter.segment(image_of(in, given.at("image")), given.value("concepts", std::vector<std::string>{}), limits);
    Json got = {{"concepts", Json::array()}, {"skipped", Json::array()}, {"present", Json::array()}, {"left_out", Json::array()}};
    std::vector<float> chances;
    for (const auto& one : result.concepts) {
        got["concepts"].push_back(one.name);
        got["skipped"].push_back(one.skipped);
        got["present"].push_back(one.present);
        if (one.skipped) chances.push_back(static_cast<float>(one.presence));
    }
    for (const auto& [name, why] : result.left_out) got["left_out"].push_back(name);
    for (const auto& [key, value] : got.items())
        if (value != expected.at(key)) return key + ": got " + value.dump();
    return in.problem("segment", "chances", expected.at("chances"), chances);
}

struct Masks {
    int count = 0;
    double least_iou = 1;
    std::size_t differ = 0, pixels = 0;

    void add(const std::vector<float>& expected, const std::vector<float>& got) {
        ++count;
        pixels += expected.size();
        least_iou = std::min(least_iou, 1 - Folder::distance("iou", expected, got));
        for (std::size_t i = 0; i < expected.size(); ++i) differ += (expected[i] > 0) != (got[i] > 0);
    }
};

void run_bundle(const Folder& in, const fs::path& path, Tally& tally, Masks& masks, std::vector<int>& formats) {
    const cgsam::Segmenter segmenter(path);
    formats.push_back(segmenter.format_version());
    for (const Json& vector : in.index().at("vectors")) {
        const std::string stage = vector.at("stage"), name = path.filename().u8string() + " " + vector.at("name").get<std::string>();
        if (stage == "segment") tally.count(stage, name, segment_problem(in, segmenter, vector));
        if (stage != "bundle") continue;
        const auto image = image_of(in, vector.at("given").at("image"));
        const auto got = of_result(segmenter.encode(image).predict(vector.at("given").at("concept"), clicks_of(vector.at("given"))), segmenter, image);
        masks.add(in.floats(vector.at("expected").at("mask")), got.at("mask"));
        tally.count(stage, name, problem_of(in, vector, got));
    }
}

std::string hostile_problem(const Folder& in, const Json& recipe, const fs::path& bundle) {
    try {
        const cgsam::Segmenter segmenter(bundle);
        segmenter.segment({2, 2, std::vector<std::uint8_t>(12)}, {"car"});
    } catch (const cgsam::Error& error) {
        for (const std::string word : recipe.at("says"))
            if (std::string(error.what()).find(word) == std::string::npos) return "the message lacks '" + word + "': " + error.what();
        return "";
    } catch (const std::exception& error) {
        return std::string("an error that is not this library's: ") + error.what();
    }
    (void)in;
    return "was not refused";
}

Json run_hostile(const Folder& in, Tally& tally) {
    const Json file = Json::parse(content(in.path() / "hostile.json"));
    const fs::path work = fs::temp_directory_path() / ("cgsam-hostile-" + std::to_string(std::time(nullptr)));
    int refused = 0, all = 0;
    for (const Json& recipe : file.at("recipes")) {
        const auto made = make(recipe, in.path() / file.at("bundle").get<std::string>(), work);
        const auto problem = hostile_problem(in, recipe, made);
        refused += problem.empty();
        ++all;
        tally.wrong += !problem.empty();
        if (!problem.empty()) std::cout << "FAILED hostile " << recipe.at("name") << ": " << problem << '\n';
    }
    fs::remove_all(work);
    return {{"refused", refused}, {"of", all}};
}

double median_of(const std::function<void()>& work) {
    std::vector<double> seconds;
    for (int i = 0; i < 5; ++i) {
        const auto start = std::chrono::steady_clock::now();
        work();
        seconds.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    }
    std::sort(seconds.begin(), seconds.end());
    return seconds[2];
}

/// The image, a concept with its decoder, and the decoder alone, whose embedding is kept.
Json timed(const Folder& in, const fs::path& bundle) {
    cgsam::Options options;
    const double open = median_of([&] { cgsam::Segmenter segmenter(bundle, options); });
    const cgsam::Segmenter segmenter(bundle, options);
    const auto& vectors = in.index().at("vectors");
    const auto at = std::find_if(vectors.begin(), vectors.end(), [](const Json& v) { return v.at("stage") == "bundle"; });
    const auto image = image_of(in, at->at("given").at("image"));
    const double encode = median_of([&] { segmenter.encode(image); });
    const auto encoded = segmenter.encode(image);
    encoded.predict("car");
    const double decoder = median_of([&] { encoded.predict("car"); });
    options.cache_bytes = 0;
    const cgsam::Segmenter forgetful(bundle, options);
    const auto anew = forgetful.encode(image);
    const double both = median_of([&] { anew.predict("car"); });
    return {{"open", open}, {"image", encode}, {"concept", std::max(0.0, both - decoder)}, {"decoder", decoder}};
}

Json peak_memory() {
#ifdef _WIN32
    return nullptr;
#else
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    return static_cast<double>(usage.ru_maxrss) * 1024;
#endif
}

std::string today() {
    char text[11];
    const std::time_t at = std::time(nullptr);
    std::strftime(text, sizeof text, "%Y-%m-%d", std::gmtime(&at));
    return text;
}

int run(int count, char** words) {
    std::map<std::string, std::string> options;
    for (int i = 2; i + 1 < count; i += 2) options[words[i]] = words[i + 1];
    const Folder in(words[1]);
    Tally tally;
    for (const Json& vector : in.index().at("vectors")) {
        const std::string stage = vector.at("stage");
        if (stage == "bundle" || stage == "segment") continue;
        const auto step = steps().find(stage);
        if (stage == "priority")
            tally.count(stage, vector.at("name"), priority_problem(vector));
        else if (step == steps().end())
            tally.count(stage, vector.at("name"), "no such stage here");
        else
            tally.count(stage, vector.at("name"), problem_of(in, vector, step->second(in, vector.at("given"))));
    }
    Masks masks;
    std::vector<int> formats;
    const auto& bundles = in.index().at("bundles");
    for (const std::string bundle : bundles) run_bundle(in, in.path() / bundle, tally, masks, formats);
    const Json hostile = run_hostile(in, tally);
    tally.wrong += run_own(in.path() / bundles.back().get<std::string>(), fs::temp_directory_path() / ("cgsam-own-" + std::to_string(std::time(nullptr))));
    const Json result = {{"target", options["--target"]}, {"engine", cgsam::Segmenter::engine()}, {"how", options["--how"]}, {"date", today()},
                         {"formats", formats}, {"stages", tally.stages},
                         {"masks", {{"count", masks.count}, {"least_iou", masks.least_iou}, {"pixels_differ", masks.differ}, {"pixels", masks.pixels}}},
                         {"hostile", hostile}, {"nodes_elsewhere", nullptr},
                         {"seconds", options.count("--results") ? timed(in, in.path() / bundles.back().get<std::string>()) : Json::object()},
                         {"peak_memory", peak_memory()}};
    std::cout << tally.stages.dump() << "\nmasks " << result.at("masks").dump() << "\nhostile " << hostile.dump() << '\n';
    if (options.count("--results")) write(options["--results"], result.dump(1) + "\n");
    return tally.wrong ? 1 : 0;
}

}  // namespace

int main(int count, char** words) {
    if (count < 2) {
        std::cerr << "usage: cgsam_vectors FOLDER [--results FILE --target TEXT --how hardware|emulated]\n";
        return 2;
    }
    try {
        return run(count, words);
    } catch (const std::exception& error) {
        std::cerr << "cgsam_vectors: " << error.what() << '\n';
        return 1;
    }
}
