// From similarity to the decoder's prompt, and what presence is judged by (docs/bundle.md, steps 3 to 6, "Presence").
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace cgsam {

struct Geometry { int image_size = 0, mask_size = 0, patch_grid = 0, embed_dim = 0; };

struct Prompting {
    float threshold = 0;
    int points = 0;
    float dense_value = 0;
    int click_slots = 0;
    std::vector<std::string> trained_for;
};

using Position = std::array<double, 2>;  ///< (x, y)
using Box = std::array<double, 4>;       ///< (x0, y0, x1, y1)

/// A caller's prompt, in the image's pixels; without points and box, points are drawn from the similarity.
struct Clicks {
    std::vector<Position> points;
    std::optional<std::vector<double>> labels;  ///< 1 inside, 0 outside; none means all inside
    std::optional<Box> box;
    bool empty() const { return points.empty() && !box; }
};

/// What the decoder takes: points (slots, 2) and labels (slots).
struct Slots { std::vector<float> points, labels; };

/// The map (size, size) in 0 to 1; zeros where the similarity (grid, grid) is flat.
std::vector<float> similarity_map(const std::vector<float>& similarity, int grid, int size);

/// The dense prompt (mask_size, mask_size) of a map (size, size).
std::vector<float> dense_prompt(const std::vector<float>& map, int size, int mask_size, float threshold, float value);

/// SplitMix64 of a pixel's index.
std::uint64_t priority(std::uint64_t index);

/// The points of text alone, as indices into the map, in the order of their slots.
std::vector<std::size_t> text_points(const std::vector<float>& map, float threshold, int count);

/// Throws PromptError where a prompt has wrong numbers, is outside the image, or has more points than slots.
void check_clicks(const Clicks& clicks, int width, int height, int click_slots);

/// Fill the decoder's slots with a checked prompt.
Slots fill_slots(const Clicks& clicks, int width, int height, int size, int click_slots);

/// Bring points of the map to the pixels of an image.
Clicks drawn_clicks(const std::vector<std::size_t>& points, int size, int width, int height);

using Evidence = std::array<float, 7>;
struct Judgement { double presence; bool present; };

/// What presence is judged by, in the order of docs/bundle.md.
Evidence evidence(const std::vector<float>& logits, double iou, const std::vector<float>& similarity,
                  const float* class_token, const float* text, std::size_t length);

/// Judge by a row of seven weights, a bias and a threshold; NaN in it: nothing was calibrated.
Judgement judge(const Evidence& found, const float* row);

/// What similarity alone says about N concepts.
struct Screened {
    std::vector<std::vector<float>> scores;  ///< by concept, s on the patches
    std::vector<std::array<float, 2>> evidence;
    std::vector<double> chances;  ///< NaN where nothing was calibrated
    std::vector<bool> ruled_out;
    /// Concepts by chance, or by the peak where one of them is not calibrated.
    std::vector<std::size_t> likeliest_first(std::vector<std::size_t> indices) const;
};

/// Screen concepts: CLIP's features (1 + patches, length), text features (count, length), rows (count, 4).
Screened screen(const std::vector<float>& clip_features, const std::vector<float>& text, std::size_t length,
                const std::vector<float>& rows);

}  // namespace cgsam
