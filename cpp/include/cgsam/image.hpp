// Images, and the two resizes of the contract (docs/bundle.md, steps 1, 3 and 7).
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace cgsam {

/// An RGB image of 8 bits a channel, rows first.
struct Image {
    int width = 0, height = 0;
    std::vector<std::uint8_t> rgb;
};

/// A mask of an image's size, rows first: 1 inside, 0 outside.
struct Mask {
    int width = 0, height = 0;
    std::vector<std::uint8_t> pixels;
    std::size_t area() const;
};

/// Throws ImageError unless the image has 2 pixels a side or more, at most 100 megapixels, and as many bytes as it says.
void check_image(const Image& image);

/// Turn an image upright by its EXIF orientation, 1 to 8; another number leaves it as it is.
Image upright(const Image& image, int orientation);

/// Squash to a square of `size` with Pillow's antialiased bilinear filter, bit for bit: three planes (3, size, size).
std::vector<std::uint8_t> to_pixels(const Image& image, int size);

/// Interpolate (height, width) to (new_height, new_width): bilinear, pixel centres aligned, no antialiasing.
std::vector<float> resize(const std::vector<float>& plane, int width, int height, int new_width, int new_height);

/// Interpolate logits (side, side) to an image's size, a row at a time, and take what is above 0.
Mask mask_of(const std::vector<float>& logits, int side, int width, int height);

}  // namespace cgsam
