// Bundles whose manifest or vocabulary was changed at random, with hashes that vouch for the change: each must open or be
// refused with a cgsam::Error. With -DCGSAM_FUZZ=ON (clang) libFuzzer drives the parsers; else `cgsam_fuzz BUNDLE N` mutates.
#include <cstdint>
#include <ctime>
#include <iostream>
#include <random>

#include "../src/bundle.hpp"
#include "../src/names.hpp"
#include "../src/npz.hpp"
#include "cgsam/errors.hpp"
#include "hostile.hpp"

namespace {

template <typename Work>
bool holds(Work work) {
    try {
        work();
        return true;
    } catch (const cgsam::Error&) {
        return false;
    }
}

void parse(const std::uint8_t* data, std::size_t size) {
    const std::string text(reinterpret_cast<const char*>(data), size);
    holds([&] { cgsam::parse_manifest(text, "m"); });
    holds([&] { cgsam::parse_npz({data, data + size}, "v"); });
    holds([&] { cgsam::fold(cgsam::fold(text)); });
}

}  // namespace

#ifdef CGSAM_LIBFUZZER
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    parse(data, size);
    return 0;
}
#else
int main(int count, char** words) {
    if (count < 3) return 2;
    namespace fs = std::filesystem;
    std::mt19937 random(7);
    const fs::path good = words[1], work = fs::temp_directory_path() / ("cgsam-fuzz-" + std::to_string(random() ^ static_cast<unsigned>(std::time(nullptr))));
    const int rounds = std::stoi(words[2]);
    fs::copy(good, work, fs::copy_options::recursive);
    int opened = 0;
    for (int i = 0; i < rounds; ++i) {
        const bool manifest = i % 2 == 0;
        const std::string name = manifest ? "manifest.json" : "vocabulary.npz";
        std::string bytes = vectors::content(good / name);
        for (std::uint32_t n = 1 + random() % 4; n > 0; --n) {
            const std::size_t at = random() % bytes.size();
            if (random() % 3 == 0)
                bytes.erase(at, 1 + random() % 8);
            else if (random() % 3 == 0)
                bytes.insert(at, bytes.substr(random() % bytes.size(), random() % 16));
            else
                bytes[at] = static_cast<char>(manifest ? " 0123456789-{}[]\",:eE.x"[random() % 23] : random());
        }
        vectors::write(work / "manifest.json", vectors::content(good / "manifest.json"));
        vectors::write(work / "vocabulary.npz", vectors::content(good / "vocabulary.npz"));
        vectors::write(work / name, bytes);
        if (!manifest) vectors::apply({{"relist", name}}, work);
        parse(reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
        opened += holds([&] {
            const cgsam::Bundle bundle(work);
            for (const auto& [target, graphs] : bundle.manifest.targets)
                for (const auto& [graph, spec] : graphs) bundle.verified_graph(target, graph);
        });
    }
    fs::remove_all(work);
    std::cout << rounds << " bundles, " << opened << " opened, all others refused\n";
    return opened < rounds ? 0 : 1;
}
#endif
