// Segments a JPEG or PNG: cgsam_segment BUNDLE IMAGE CONCEPT [OUTPUT.png]. Writes the mask as a grey PNG.
#include <cstdio>
#include <cstring>
#include <exception>
#include <fstream>
#include <iostream>
#include <iterator>
#include <stdexcept>

#include <jpeglib.h>  // after <cstdio>, which it needs
#include <png.h>

#include "cgsam/cgsam.hpp"

namespace {

using Bytes = std::vector<unsigned char>;

Bytes read(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    if (!file) throw std::runtime_error(path + ": cannot be read");
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

cgsam::Image from_png(const Bytes& bytes) {
    png_image png{};
    png.version = PNG_IMAGE_VERSION;
    if (!png_image_begin_read_from_memory(&png, bytes.data(), bytes.size())) throw std::runtime_error(png.message);
    png.format = PNG_FORMAT_RGB;
    cgsam::Image image{static_cast<int>(png.width), static_cast<int>(png.height), Bytes(PNG_IMAGE_SIZE(png))};
    if (!png_image_finish_read(&png, nullptr, image.rgb.data(), 0, nullptr)) throw std::runtime_error(png.message);
    return image;
}

[[noreturn]] void fail(j_common_ptr info) {
    char text[JMSG_LENGTH_MAX];
    info->err->format_message(info, text);
    throw std::runtime_error(text);
}

/// EXIF's orientation in an APP1 segment, or 1.
int orientation(const JOCTET* data, unsigned size) {
    if (size < 20 || std::memcmp(data, "Exif\0\0", 6) != 0) return 1;
    const JOCTET* tiff = data + 6;
    const unsigned length = size - 6;
    const bool little = tiff[0] == 'I';
    const auto number = [&](unsigned at, unsigned count) {
        unsigned value = 0;
        for (unsigned i = 0; i < count; ++i) value |= static_cast<unsigned>(tiff[at + i]) << 8 * (little ? i : count - 1 - i);
        return value;
    };
    const unsigned list = number(4, 4);
    if (list > length - 2) return 1;
    for (unsigned i = 0, at = list + 2; i < number(list, 2) && at <= length - 12; ++i, at += 12)
        if (number(at, 2) == 0x0112) return static_cast<int>(number(at + 8, 2));
    return 1;
}

cgsam::Image from_jpeg(const Bytes& bytes) {
    jpeg_decompress_struct info;
    jpeg_error_mgr errors;
    info.err = jpeg_std_error(&errors);
    errors.error_exit = fail;
    jpeg_create_decompress(&info);
    jpeg_mem_src(&info, bytes.data(), static_cast<unsigned long>(bytes.size()));
    jpeg_save_markers(&info, JPEG_APP0 + 1, 0xFFFF);
    jpeg_read_header(&info, TRUE);
    int turn = 1;
    for (auto marker = info.marker_list; marker; marker = marker->next) turn = turn == 1 ? orientation(marker->data, marker->data_length) : turn;
    info.out_color_space = JCS_RGB;
    jpeg_start_decompress(&info);
    cgsam::Image image{static_cast<int>(info.output_width), static_cast<int>(info.output_height), {}};
    image.rgb.resize(std::size_t{3} * info.output_width * info.output_height);
    while (info.output_scanline < info.output_height) {
        JSAMPROW row = image.rgb.data() + std::size_t{3} * info.output_width * info.output_scanline;
        jpeg_read_scanlines(&info, &row, 1);
    }
    jpeg_finish_decompress(&info);
    jpeg_destroy_decompress(&info);
    return cgsam::upright(image, turn);
}

void write_png(const cgsam::Mask& mask, const char* path) {
    png_image png{};
    png.version = PNG_IMAGE_VERSION;
    png.width = static_cast<png_uint_32>(mask.width);
    png.height = static_cast<png_uint_32>(mask.height);
    png.format = PNG_FORMAT_GRAY;
    Bytes grey(mask.pixels.size());
    for (std::size_t i = 0; i < grey.size(); ++i) grey[i] = mask.pixels[i] ? 255 : 0;
    if (!png_image_write_to_file(&png, path, 0, grey.data(), 0, nullptr)) throw std::runtime_error(std::string(path) + ": " + png.message);
}

}  // namespace

int main(int count, char** words) {
    if (count < 4) {
        std::cerr << "usage: cgsam_segment BUNDLE IMAGE CONCEPT [OUTPUT.png]\n";
        return 2;
    }
    try {
        const Bytes bytes = read(words[2]);
        const bool png = bytes.size() > 8 && std::memcmp(bytes.data(), "\x89PNG", 4) == 0;
        const cgsam::Segmenter segmenter(words[1]);
        const auto result = segmenter.encode(png ? from_png(bytes) : from_jpeg(bytes)).predict(words[3]);
        const cgsam::Mask mask = result.mask();
        std::cout << result.name << ": " << mask.area() << " of " << mask.pixels.size() << " pixels, presence " << result.presence
                  << (result.present ? "" : " (absent)") << ", predicted IoU " << result.score << '\n';
        if (count > 4) write_png(mask, words[4]);
        return 0;
    } catch (const std::exception& error) {
        std::cerr << "cgsam_segment: " << error.what() << '\n';
        return 1;
    }
}
