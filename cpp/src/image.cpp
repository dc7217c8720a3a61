#include "cgsam/image.hpp"

#include <algorithm>
#include <cmath>
#include <string>

#include "cgsam/errors.hpp"

namespace cgsam {
namespace {

constexpr int precision_bits = 32 - 8 - 2;  // Pillow's, for 8-bit values
constexpr std::size_t most_pixels = 100'000'000;

struct Window {
    int first;
    std::vector<int> weights;
};

/// Pillow's windows: a triangle as wide as the step, in fixed point.
std::vector<Window> windows(int from, int to) {
    const double scale = static_cast<double>(from) / to, reach = std::max(scale, 1.0), inverse = 1.0 / reach;
    std::vector<Window> made;
    made.reserve(static_cast<std::size_t>(to));
    for (int i = 0; i < to; ++i) {
        const double centre = (i + 0.5) * scale;
        const int first = std::max(0, static_cast<int>(centre - reach + 0.5));
        const int last = std::min(from, static_cast<int>(centre + reach + 0.5));
        std::vector<double> raw;
        double sum = 0;
        for (int x = first; x < last; ++x) {
            raw.push_back(std::max(0.0, 1.0 - std::abs((x - centre + 0.5) * inverse)));
            sum += raw.back();
        }
        Window window{first, {}};
        for (double w : raw) {
            const double share = sum != 0 ? w / sum : w;
            window.weights.push_back(static_cast<int>(0.5 + share * (1 << precision_bits)));
        }
        made.push_back(std::move(window));
    }
    return made;
}

std::uint8_t byte(std::int64_t sum) {
    return static_cast<std::uint8_t>(std::clamp<std::int64_t>(sum >> precision_bits, 0, 255));
}

/// Where a row or column lies between two of the source.
struct Place {
    int low, high;
    float share;
};

std::vector<Place> places(int from, int to) {
    const double scale = static_cast<double>(from) / to;
    std::vector<Place> made;
    made.reserve(static_cast<std::size_t>(to));
    for (int i = 0; i < to; ++i) {
        const float at = static_cast<float>((i + 0.5) * scale - 0.5);
        const int low = static_cast<int>(std::floor(at));
        if (low < 0)
            made.push_back({0, 0, 0.f});
        else if (low >= from - 1)
            made.push_back({from - 1, from - 1, 0.f});
        else
            made.push_back({low, low + 1, at - static_cast<float>(low)});
    }
    return made;
}

/// Interpolate, and hand over each new row as soon as it is there.
template <typename Take>
void each_row(const std::vector<float>& plane, int width, int height, int new_width, int new_height, Take take) {
    const auto columns = places(width, new_width), rows = places(height, new_height);
    std::vector<float> kept[2] = {std::vector<float>(static_cast<std::size_t>(new_width)),
                                  std::vector<float>(static_cast<std::size_t>(new_width))};
    int held[2] = {-1, -1};
    std::vector<float> out(static_cast<std::size_t>(new_width));
    const auto widened = [&](int row) -> const std::vector<float>& {
        const int slot = row & 1;
        if (held[slot] != row) {
            const float* source = plane.data() + static_cast<std::size_t>(row) * static_cast<std::size_t>(width);
            for (std::size_t x = 0; x < columns.size(); ++x) {
                const Place& p = columns[x];
                kept[slot][x] = source[p.low] * (1.f - p.share) + source[p.high] * p.share;
            }
            held[slot] = row;
        }
        return kept[slot];
    };
    for (int y = 0; y < new_height; ++y) {
        const Place& p = rows[static_cast<std::size_t>(y)];
        const auto& above = widened(p.low);
        const auto& below = widened(p.high);
        for (std::size_t x = 0; x < out.size(); ++x) out[x] = above[x] * (1.f - p.share) + below[x] * p.share;
        take(y, out);
    }
}

}  // namespace

std::size_t Mask::area() const {
    return static_cast<std::size_t>(std::count(pixels.begin(), pixels.end(), std::uint8_t{1}));
}

void check_image(const Image& image) {
    const auto size = std::to_string(image.width) + "x" + std::to_string(image.height);
    if (image.width < 2 || image.height < 2)
        throw ImageError("an image must have 2 pixels or more on each side, got " + size + ".");
    const auto count = static_cast<std::size_t>(image.width) * static_cast<std::size_t>(image.height);
    if (count > most_pixels) throw ImageError("an image of " + size + " pixels; at most 100 megapixels are taken.");
    if (image.rgb.size() != 3 * count)
        throw ImageError("an RGB image of " + size + " pixels has " + std::to_string(3 * count) + " bytes, got " +
                         std::to_string(image.rgb.size()) + ".");
}

Image upright(const Image& image, int orientation) {
    if (orientation < 2 || orientation > 8) return image;
    const bool turned = orientation >= 5;
    const int w = image.width, h = image.height;
    Image made{turned ? h : w, turned ? w : h, std::vector<std::uint8_t>(image.rgb.size())};
    for (int y = 0; y < made.height; ++y)
        for (int x = 0; x < made.width; ++x) {
            int u = turned ? y : x, v = turned ? x : y;
            if (orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8) u = w - 1 - u;
            if (orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7) v = h - 1 - v;
            const auto from = 3 * (static_cast<std::size_t>(v) * static_cast<std::size_t>(w) + static_cast<std::size_t>(u));
            const auto to = 3 * (static_cast<std::size_t>(y) * static_cast<std::size_t>(made.width) + static_cast<std::size_t>(x));
            for (std::size_t c = 0; c < 3; ++c) made.rgb[to + c] = image.rgb[from + c];
        }
    return made;
}

std::vector<std::uint8_t> to_pixels(const Image& image, int size) {
    check_image(image);
    const auto side = static_cast<std::size_t>(size), width = static_cast<std::size_t>(image.width);
    const auto height = static_cast<std::size_t>(image.height);
    const std::int64_t half = std::int64_t{1} << (precision_bits - 1);
    std::vector<std::uint8_t> narrow(3 * side * height);
    const auto columns = windows(image.width, size), rows = windows(image.height, size);
    for (std::size_t y = 0; y < height; ++y)
        for (std::size_t x = 0; x < side; ++x)
            for (std::size_t c = 0; c < 3; ++c) {
                const Window& window = columns[x];
                const std::uint8_t* source = &image.rgb[3 * (y * width + static_cast<std::size_t>(window.first)) + c];
                std::int64_t sum = half;
                for (std::size_t k = 0; k < window.weights.size(); ++k) sum += std::int64_t{window.weights[k]} * source[3 * k];
                narrow[3 * (y * side + x) + c] = byte(sum);
            }
    std::vector<std::uint8_t> planes(3 * side * side);
    for (std::size_t y = 0; y < side; ++y)
        for (std::size_t x = 0; x < side; ++x)
            for (std::size_t c = 0; c < 3; ++c) {
                const Window& window = rows[y];
                const std::uint8_t* source = &narrow[3 * (static_cast<std::size_t>(window.first) * side + x) + c];
                std::int64_t sum = half;
                for (std::size_t k = 0; k < window.weights.size(); ++k) sum += std::int64_t{window.weights[k]} * source[3 * k * side];
                planes[(c * side + y) * side + x] = byte(sum);
            }
    return planes;
}

std::vector<float> resize(const std::vector<float>& plane, int width, int height, int new_width, int new_height) {
    std::vector<float> made;
    made.reserve(static_cast<std::size_t>(new_width) * static_cast<std::size_t>(new_height));
    each_row(plane, width, height, new_width, new_height,
             [&](int, const std::vector<float>& row) { made.insert(made.end(), row.begin(), row.end()); });
    return made;
}

Mask mask_of(const std::vector<float>& logits, int side, int width, int height) {
    Mask mask{width, height, {}};
    mask.pixels.reserve(static_cast<std::size_t>(width) * static_cast<std::size_t>(height));
    each_row(logits, side, side, width, height, [&](int, const std::vector<float>& row) {
        for (float value : row) mask.pixels.push_back(value > 0 ? 1 : 0);
    });
    return mask;
}

}  // namespace cgsam
