// The steps that need neither engine nor JSON, with C's calling convention: tests/runtime/test_cpp_steps.py runs the vectors on them.
#include <algorithm>
#include <cstring>

#include "../src/names.hpp"
#include "../src/npz.hpp"
#include "cgsam/errors.hpp"
#include "cgsam/image.hpp"
#include "cgsam/prompts.hpp"

namespace {

std::vector<float> plane(const float* values, int width, int height) {
    return {values, values + static_cast<std::size_t>(width) * static_cast<std::size_t>(height)};
}

cgsam::Image image(const unsigned char* rgb, int width, int height) {
    return {width, height, {rgb, rgb + std::size_t{3} * static_cast<std::size_t>(width) * static_cast<std::size_t>(height)}};
}

}  // namespace

extern "C" {

void pixels(const unsigned char* rgb, int width, int height, int size, unsigned char* out) {
    const auto made = cgsam::to_pixels(image(rgb, width, height), size);
    std::copy(made.begin(), made.end(), out);
}

void upright(const unsigned char* rgb, int width, int height, int orientation, unsigned char* out) {
    const auto made = cgsam::upright(image(rgb, width, height), orientation);
    std::copy(made.rgb.begin(), made.rgb.end(), out);
}

void map(const float* similarity, int grid, int size, float* out) {
    const auto made = cgsam::similarity_map(plane(similarity, grid, grid), grid, size);
    std::copy(made.begin(), made.end(), out);
}

void dense(const float* full, int size, int mask_size, float threshold, float value, float* out) {
    const auto made = cgsam::dense_prompt(plane(full, size, size), size, mask_size, threshold, value);
    std::copy(made.begin(), made.end(), out);
}

void points(const float* full, int width, int height, float threshold, int count, int* out) {
    for (auto at : cgsam::text_points(plane(full, width, height), threshold, count)) {
        *out++ = static_cast<int>(at) % width;
        *out++ = static_cast<int>(at) / width;
    }
}

void mask(const float* logits, int side, int width, int height, unsigned char* out) {
    const auto made = cgsam::mask_of(plane(logits, side, side), side, width, height);
    std::copy(made.pixels.begin(), made.pixels.end(), out);
}

bool same_name(const char* a, const char* b) { return cgsam::fold(a) == cgsam::fold(b); }

/// How many arrays an archive holds; the message of the refusal where it is none.
int arrays(const unsigned char* bytes, std::size_t size, char* message, std::size_t room) {
    try {
        return static_cast<int>(cgsam::parse_npz({bytes, bytes + size}, "archive").size());
    } catch (const cgsam::BundleError& error) {
        std::strncpy(message, error.what(), room - 1);
        return -1;
    }
}

}  // extern "C"
