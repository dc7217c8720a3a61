#include "npz.hpp"

#include <array>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <regex>

#include "cgsam/errors.hpp"

namespace cgsam {
namespace {

constexpr std::uint64_t most_bytes = std::uint64_t{1} << 31;

std::uint32_t crc32(const unsigned char* data, std::size_t size) {
    static const auto table = [] {
        std::array<std::uint32_t, 256> made{};
        for (std::uint32_t i = 0; i < 256; ++i) {
            std::uint32_t c = i;
            for (int bit = 0; bit < 8; ++bit) c = c & 1 ? 0xEDB88320u ^ (c >> 1) : c >> 1;
            made[i] = c;
        }
        return made;
    }();
    std::uint32_t c = 0xFFFFFFFFu;
    for (std::size_t i = 0; i < size; ++i) c = table[(c ^ data[i]) & 0xFF] ^ (c >> 8);
    return ~c;
}

/// Bytes with every place checked before it is read.
class Reader {
public:
    Reader(const std::vector<unsigned char>& bytes, const std::string& where) : bytes_(bytes), where_(where) {}

    [[noreturn]] void refuse(const std::string& why) const { throw BundleError(where_ + ": not a vocabulary (" + why + ")."); }

    const unsigned char* at(std::uint64_t place, std::uint64_t count) const {
        if (place > bytes_.size() || count > bytes_.size() - place) refuse("it is cut short");
        return bytes_.data() + place;
    }

    std::uint64_t number(std::uint64_t place, int count) const {
        const unsigned char* p = at(place, static_cast<std::uint64_t>(count));
        std::uint64_t value = 0;
        for (int i = count - 1; i >= 0; --i) value = value << 8 | p[i];
        return value;
    }

    std::string text(std::uint64_t place, std::uint64_t count) const {
        const unsigned char* p = at(place, count);
        return {reinterpret_cast<const char*>(p), static_cast<std::size_t>(count)};
    }

    std::uint64_t size() const { return bytes_.size(); }

private:
    const std::vector<unsigned char>& bytes_;
    const std::string& where_;
};

struct Member {
    std::string name;
    std::uint64_t start, size;
    std::uint32_t crc;
};

/// Where the list of members begins, and how many there are.
std::pair<std::uint64_t, std::uint64_t> directory(const Reader& in) {
    constexpr std::uint64_t end_size = 22, longest_comment = 65535;
    if (in.size() < end_size) in.refuse("it is no zip file");
    const std::uint64_t stop = in.size() > end_size + longest_comment ? in.size() - end_size - longest_comment : 0;
    for (std::uint64_t place = in.size() - end_size;; --place) {
        if (in.number(place, 4) == 0x06054b50) return {in.number(place + 16, 4), in.number(place + 10, 2)};
        if (place == stop) in.refuse("it is no zip file, or its end is missing");
    }
}

/// Sizes and places over 4 GB, and others that a writer put there too, stand in an extra field, in this order.
std::uint64_t widened(const Reader& in, std::uint64_t value, std::uint64_t& extra, std::uint64_t end) {
    if (value != 0xFFFFFFFF) return value;
    if (extra + 8 > end) in.refuse("a member has no size");
    extra += 8;
    return in.number(extra - 8, 8);
}

Member member(const Reader& in, std::uint64_t& place) {
    if (in.number(place, 4) != 0x02014b50) in.refuse("its list of members is damaged");
    const auto flags = in.number(place + 8, 2), method = in.number(place + 10, 2);
    const auto name_size = in.number(place + 28, 2), extra_size = in.number(place + 30, 2), note = in.number(place + 32, 2);
    Member made{in.text(place + 46, name_size), 0, 0, static_cast<std::uint32_t>(in.number(place + 16, 4))};
    std::uint64_t extra = place + 46 + name_size;
    const std::uint64_t extra_end = extra + extra_size;
    std::uint64_t field_end = extra;
    for (std::uint64_t at = extra; at + 4 <= extra_end; at += 4 + in.number(at + 2, 2))
        if (in.number(at, 2) == 1) {
            extra = at + 4;
            field_end = extra + in.number(at + 2, 2);
            break;
        }
    made.size = widened(in, in.number(place + 24, 4), extra, field_end);
    const auto packed = widened(in, in.number(place + 20, 4), extra, field_end);
    const auto header = widened(in, in.number(place + 42, 4), extra, field_end);
    if (method != 0 || packed != made.size || (flags & 1)) in.refuse("'" + made.name + "' is compressed; bundles store it");
    if (in.number(header, 4) != 0x04034b50) in.refuse("'" + made.name + "' has no header");
    made.start = header + 30 + in.number(header + 26, 2) + in.number(header + 28, 2);
    place = extra_end + note;
    return made;
}

Array array(const Reader& in, const Member& held) {
    const auto refuse = [&](const std::string& why) { in.refuse("'" + held.name + "' " + why); };
    const unsigned char* content = in.at(held.start, held.size);
    if (crc32(content, static_cast<std::size_t>(held.size)) != held.crc) refuse("is damaged: its checksum is wrong");
    if (held.size < 10 || std::memcmp(content, "\x93NUMPY", 6) != 0) refuse("is no array");
    const int version = content[6], length_bytes = version == 1 ? 2 : 4;
    if (version != 1 && version != 2) refuse("has a format that is not known");
    const std::uint64_t header_start = 8 + static_cast<std::uint64_t>(length_bytes);
    if (held.size < header_start) refuse("is cut short");
    const std::uint64_t length = in.number(held.start + 8, length_bytes);
    if (length > 65536 || length > held.size - header_start) refuse("is cut short");
    const std::string header = in.text(held.start + header_start, length);
    static const std::regex form(
        R"(^\{'descr': '([^']{1,8})', 'fortran_order': (True|False), 'shape': \(([0-9, ]{0,200})\), \}\s*$)");
    std::smatch found;
    if (!std::regex_match(header, found, form)) refuse("declares what no bundle holds, such as pickled objects");
    Array made;
    made.type = found[1];
    std::uint64_t count = 1;
    static const std::regex digits("[0-9]+");
    const std::string shape = found[3];
    for (std::sregex_iterator it(shape.begin(), shape.end(), digits), end; it != end; ++it) {
        const std::string number = it->str();
        const std::uint64_t side = number.size() > 12 ? most_bytes : std::stoull(number);
        if (side != 0 && count > most_bytes / side) refuse("declares shape (" + shape + ") and holds " + std::to_string(held.size) + " bytes");
        made.shape.push_back(static_cast<std::size_t>(side));
        count *= side;
    }
    if (made.type != "<f4" || found[2] == "True") {
        made.type = found[2] == "True" ? made.type + " in columns" : made.type;
        return made;
    }
    if (count * 4 != held.size - header_start - length)
        refuse("declares float32 of shape (" + shape + ") and holds " + std::to_string(held.size - header_start - length) + " bytes");
    made.values.resize(static_cast<std::size_t>(count));
    const unsigned char* p = content + header_start + length;
    for (float& value : made.values) {
        const std::uint32_t bits = std::uint32_t{p[0]} | std::uint32_t{p[1]} << 8 | std::uint32_t{p[2]} << 16 | std::uint32_t{p[3]} << 24;
        std::memcpy(&value, &bits, 4);
        p += 4;
    }
    return made;
}

}  // namespace

std::map<std::string, Array> parse_npz(const std::vector<unsigned char>& bytes, const std::string& where) {
    const Reader in(bytes, where);
    auto [place, count] = directory(in);
    std::map<std::string, Array> arrays;
    for (std::uint64_t i = 0; i < count; ++i) {
        const Member held = member(in, place);
        const auto dot = held.name.rfind(".npy");
        const std::string name = dot == std::string::npos ? held.name : held.name.substr(0, dot);
        if (!arrays.emplace(name, array(in, held)).second) in.refuse("two arrays of the name '" + name + "'");
    }
    return arrays;
}

std::map<std::string, Array> read_npz(const std::filesystem::path& path) {
    std::ifstream file(path, std::ios::binary);
    const std::vector<unsigned char> bytes{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
    if (!file.eof() && !file.good()) throw BundleError(path.u8string() + ": cannot be read.");
    return parse_npz(bytes, path.u8string());
}

}  // namespace cgsam
