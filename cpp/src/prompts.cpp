#include "cgsam/prompts.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <sstream>

#include "cgsam/errors.hpp"
#include "cgsam/image.hpp"

namespace cgsam {
namespace {

constexpr int extra_slots = 3;  // two corners of a box and one "not a point"

std::string text(double value) {
    std::ostringstream out;
    out << value;
    return out.str();
}

void check_inside(double x, double y, int width, int height, const char* name) {
    if (!std::isfinite(x) || !std::isfinite(y)) throw PromptError(std::string(name) + "s must be finite numbers.");
    if (x < 0 || y < 0 || x > width || y > height)
        throw PromptError(std::string(name) + " (" + text(x) + ", " + text(y) + ") is outside the image of " +
                          std::to_string(width) + "x" + std::to_string(height) + " pixels.");
}

double logistic(double value) { return 1 / (1 + std::exp(-std::clamp(value, -30.0, 30.0))); }

double product(const float* a, const float* b, std::size_t length) {
    double sum = 0;
    for (std::size_t i = 0; i < length; ++i) sum += static_cast<double>(a[i]) * b[i];
    return sum;
}

}  // namespace

std::vector<float> similarity_map(const std::vector<float>& similarity, int grid, int size) {
    const auto [low, high] = std::minmax_element(similarity.begin(), similarity.end());
    if (!(*high > *low)) return std::vector<float>(static_cast<std::size_t>(size) * static_cast<std::size_t>(size));
    std::vector<float> contrast(similarity.size());
    const float least = *low, range = *high - *low;
    std::transform(similarity.begin(), similarity.end(), contrast.begin(), [&](float s) { return (s - least) / range; });
    return resize(contrast, grid, grid, size, size);
}

std::vector<float> dense_prompt(const std::vector<float>& map, int size, int mask_size, float threshold, float value) {
    auto dense = resize(map, size, size, mask_size, mask_size);
    for (float& one : dense) one = one > threshold ? value : 0.f;
    return dense;
}

std::uint64_t priority(std::uint64_t index) {
    std::uint64_t z = (index + 1) * 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

std::vector<std::size_t> text_points(const std::vector<float>& map, float threshold, int count) {
    const auto wanted = std::min(static_cast<std::size_t>(count), map.size());
    std::vector<std::size_t> candidates;
    for (std::size_t i = 0; i < map.size(); ++i)
        if (map[i] > threshold) candidates.push_back(i);
    const auto middle = [&] { return candidates.begin() + static_cast<std::ptrdiff_t>(wanted); };
    if (candidates.size() < wanted) {  // the greatest of the map, ties to the lower index
        candidates.resize(map.size());
        std::iota(candidates.begin(), candidates.end(), std::size_t{0});
        std::partial_sort(candidates.begin(), middle(), candidates.end(),
                          [&](auto a, auto b) { return map[a] != map[b] ? map[a] > map[b] : a < b; });
        candidates.resize(wanted);
    }
    std::partial_sort(candidates.begin(), middle(), candidates.end(),
                      [](auto a, auto b) { return priority(a) > priority(b); });
    candidates.resize(wanted);
    return candidates;
}

void check_clicks(const Clicks& clicks, int width, int height, int click_slots) {
    const auto count = clicks.points.size();
    if (count > static_cast<std::size_t>(click_slots))
        throw PromptError(std::to_string(count) + " points, but the bundle has " + std::to_string(click_slots) +
                          " slots for clicks. Give fewer, or export it again with --prompt-slots " +
                          std::to_string(count) + ".");
    for (const auto& p : clicks.points) check_inside(p[0], p[1], width, height, "point");
    if (clicks.labels) {
        if (clicks.labels->size() != count)
            throw PromptError("labels must be one for each point: expected " + std::to_string(count) + ", got " +
                              std::to_string(clicks.labels->size()) + ".");
        for (double label : *clicks.labels)
            if (label != 0 && label != 1)
                throw PromptError("labels must be 1 (inside) or 0 (outside), got " + text(label) + ".");
    }
    if (!clicks.box) return;
    const Box& b = *clicks.box;
    check_inside(b[0], b[1], width, height, "box corner");
    check_inside(b[2], b[3], width, height, "box corner");
    if (!(b[0] < b[2] && b[1] < b[3]))
        throw PromptError("a box must have x0 < x1 and y0 < y1, got (" + text(b[0]) + ", " + text(b[1]) + ", " +
                          text(b[2]) + ", " + text(b[3]) + ").");
}

Slots fill_slots(const Clicks& clicks, int width, int height, int size, int click_slots) {
    const auto slots = static_cast<std::size_t>(click_slots + extra_slots);
    Slots made{std::vector<float>(2 * slots), std::vector<float>(slots, -2.f)};
    const double scale[2] = {static_cast<double>(size) / width, static_cast<double>(size) / height};
    const auto put = [&](std::size_t slot, double x, double y, float label) {
        made.points[2 * slot] = static_cast<float>(static_cast<double>(static_cast<float>(x)) * scale[0]);
        made.points[2 * slot + 1] = static_cast<float>(static_cast<double>(static_cast<float>(y)) * scale[1]);
        made.labels[slot] = label;
    };
    for (std::size_t i = 0; i < clicks.points.size(); ++i)
        put(i, clicks.points[i][0], clicks.points[i][1], clicks.labels ? static_cast<float>((*clicks.labels)[i]) : 1.f);
    if (clicks.box) {
        put(slots - 3, (*clicks.box)[0], (*clicks.box)[1], 2.f);
        put(slots - 2, (*clicks.box)[2], (*clicks.box)[3], 3.f);
    } else {
        made.labels[slots - 1] = -1.f;
    }
    return made;
}

Clicks drawn_clicks(const std::vector<std::size_t>& points, int size, int width, int height) {
    Clicks clicks;
    const auto side = static_cast<std::size_t>(size);
    for (std::size_t at : points)
        clicks.points.push_back({static_cast<double>(at % side) * width / size, static_cast<double>(at / side) * height / size});
    clicks.labels = std::vector<double>(points.size(), 1.0);
    return clicks;
}

Evidence evidence(const std::vector<float>& logits, double iou, const std::vector<float>& similarity,
                  const float* class_token, const float* text, std::size_t length) {
    std::size_t inside = 0, sure = 0, likely = 0;
    double confidence = 0;
    for (float logit : logits) {
        sure += logit > 1;
        likely += logit > -1;
        if (logit > 0) {
            ++inside;
            confidence += 1 / (1 + std::exp(-static_cast<double>(logit)));
        }
    }
    const double peak = *std::max_element(similarity.begin(), similarity.end());
    const double mean = std::accumulate(similarity.begin(), similarity.end(), 0.0) / static_cast<double>(similarity.size());
    const double norm = std::max(std::sqrt(product(class_token, class_token, length)), 1e-12);
    const double values[7] = {
        std::clamp(iou, 0.0, 1.0),
        static_cast<double>(sure) / static_cast<double>(std::max<std::size_t>(1, likely)),
        inside ? confidence / static_cast<double>(inside) : 0.5,
        std::sqrt(static_cast<double>(inside) / static_cast<double>(logits.size())),
        peak,
        peak - mean,
        product(class_token, text, length) / norm,
    };
    Evidence made{};
    std::transform(values, values + 7, made.begin(), [](double v) { return static_cast<float>(v); });
    return made;
}

Judgement judge(const Evidence& found, const float* row) {
    if (!std::all_of(row, row + 9, [](float v) { return std::isfinite(v); })) return {found[0], true};
    const double score = logistic(product(found.data(), row, found.size()) + row[7]);
    return {score, score >= row[8]};
}

Screened screen(const std::vector<float>& clip_features, const std::vector<float>& text, std::size_t length,
                const std::vector<float>& rows) {
    const std::size_t count = text.size() / length, patches = clip_features.size() / length - 1;
    const double norm = std::max(std::sqrt(product(clip_features.data(), clip_features.data(), length)), 1e-12);
    Screened made;
    for (std::size_t n = 0; n < count; ++n) {
        const float* t = text.data() + n * length;
        const float* row = rows.data() + 4 * n;
        std::vector<float> scores(patches);
        for (std::size_t p = 0; p < patches; ++p)
            scores[p] = static_cast<float>(product(clip_features.data() + (p + 1) * length, t, length));
        const float peak = *std::max_element(scores.begin(), scores.end());
        const float caption = static_cast<float>(product(clip_features.data(), t, length) / norm);
        const double sum = static_cast<double>(peak) * row[0] + static_cast<double>(caption) * row[1] + row[2];
        const double chance = std::isnan(sum) ? std::nan("") : logistic(sum);
        made.scores.push_back(std::move(scores));
        made.evidence.push_back({peak, caption});
        made.chances.push_back(chance);
        made.ruled_out.push_back(chance < static_cast<double>(row[3]));
    }
    return made;
}

std::vector<std::size_t> Screened::likeliest_first(std::vector<std::size_t> indices) const {
    const bool calibrated = std::none_of(indices.begin(), indices.end(), [&](auto i) { return std::isnan(chances[i]); });
    const auto key = [&](std::size_t i) { return calibrated ? chances[i] : static_cast<double>(evidence[i][0]); };
    std::stable_sort(indices.begin(), indices.end(), [&](auto a, auto b) { return key(a) > key(b); });
    return indices;
}

}  // namespace cgsam
