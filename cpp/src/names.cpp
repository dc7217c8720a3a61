#include "names.hpp"

#include <algorithm>
#include <cstdint>
#include <iterator>

#include "cgsam/errors.hpp"
#include "unicode_tables.hpp"

namespace cgsam {
namespace {

using Text = std::u32string;

constexpr char32_t first_syllable = 0xAC00, first_lead = 0x1100, first_vowel = 0x1161, first_tail = 0x11A7;
constexpr char32_t leads = 19, vowels = 21, tails = 28, syllables = leads * vowels * tails;

Text decoded(const std::string& bytes) {
    Text out;
    const auto bad = [] { return BundleError("a name is not UTF-8."); };
    for (std::size_t i = 0; i < bytes.size();) {
        const auto lead = static_cast<unsigned char>(bytes[i]);
        const std::size_t length = lead < 0x80 ? 1 : lead >= 0xF0 && lead < 0xF5 ? 4 : lead >= 0xE0 ? 3 : lead >= 0xC2 ? 2 : 0;
        if (length == 0 || lead >= 0xF5 || i + length > bytes.size()) throw bad();
        char32_t code = length == 1 ? lead : lead & (0xFFu >> (length + 1));
        for (std::size_t k = 1; k < length; ++k) {
            const auto next = static_cast<unsigned char>(bytes[i + k]);
            if ((next & 0xC0) != 0x80) throw bad();
            code = (code << 6) | (next & 0x3Fu);
        }
        const bool overlong = (length == 3 && code < 0x800) || (length == 4 && code < 0x10000);
        if (overlong || code > 0x10FFFF || (code >= 0xD800 && code < 0xE000)) throw bad();
        out.push_back(code);
        i += length;
    }
    return out;
}

std::string encoded(const Text& text) {
    std::string out;
    for (char32_t c : text) {
        const auto put = [&](char32_t byte) { out.push_back(static_cast<char>(byte)); };
        if (c < 0x80) {
            put(c);
        } else if (c < 0x800) {
            put(0xC0 | (c >> 6));
            put(0x80 | (c & 0x3F));
        } else if (c < 0x10000) {
            put(0xE0 | (c >> 12));
            put(0x80 | ((c >> 6) & 0x3F));
            put(0x80 | (c & 0x3F));
        } else {
            put(0xF0 | (c >> 18));
            put(0x80 | ((c >> 12) & 0x3F));
            put(0x80 | ((c >> 6) & 0x3F));
            put(0x80 | (c & 0x3F));
        }
    }
    return out;
}

bool is_space(char32_t c) {  // those of Python's str.split
    return (c >= 9 && c <= 13) || (c >= 0x1C && c <= 0x20) || c == 0x85 || c == 0xA0 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

bool is_control(char32_t c) { return c < 0x20 || (c >= 0x7F && c < 0xA0); }

/// Unicode's Default_Ignorable_Code_Point, and control characters but those that count as spaces.
bool is_unseen(char32_t c) {
    constexpr char32_t ranges[][2] = {
        {0, 8}, {0x0E, 0x1B}, {0x7F, 0x84}, {0x86, 0x9F}, {0xAD, 0xAD}, {0x34F, 0x34F}, {0x61C, 0x61C},
        {0x115F, 0x1160}, {0x17B4, 0x17B5}, {0x180B, 0x180F}, {0x200B, 0x200F}, {0x202A, 0x202E}, {0x2060, 0x206F},
        {0x3164, 0x3164}, {0xFE00, 0xFE0F}, {0xFEFF, 0xFEFF}, {0xFFA0, 0xFFA0}, {0xFFF0, 0xFFF8},
        {0x1BCA0, 0x1BCA3}, {0x1D173, 0x1D17A}, {0xE0000, 0xE0FFF},
    };
    return std::any_of(std::begin(ranges), std::end(ranges), [&](const auto& r) { return c >= r[0] && c <= r[1]; });
}

template <typename Table>
auto found(const Table& table, char32_t c) -> decltype(&table[0]) {
    const auto* at = std::lower_bound(std::begin(table), std::end(table), c, [](const auto& row, char32_t v) { return row.from < v; });
    return at != std::end(table) && at->from == c ? at : nullptr;
}

template <typename Table>
Text mapped(const Text& text, const Table& table) {
    Text out;
    for (char32_t c : text) {
        const auto* row = found(table, c);
        if (!row) {
            out.push_back(c);
            continue;
        }
        for (char32_t to : row->to)
            if (to) out.push_back(to);
    }
    return out;
}

std::uint8_t class_of(char32_t c) {
    const auto* row = found(unicode::classes, c);
    return row ? row->value : std::uint8_t{0};
}

/// NFD: taken apart, and marks in the order of their classes.
Text decomposed(const Text& text) {
    Text syllabic;
    for (char32_t c : text) {
        if (c < first_syllable || c >= first_syllable + syllables) {
            syllabic.push_back(c);
            continue;
        }
        const char32_t at = c - first_syllable;
        syllabic.push_back(first_lead + at / (vowels * tails));
        syllabic.push_back(first_vowel + at % (vowels * tails) / tails);
        if (at % tails) syllabic.push_back(first_tail + at % tails);
    }
    Text out = mapped(syllabic, unicode::decompositions);
    for (auto at = out.begin(); at != out.end();) {
        const auto marks = std::find_if(at, out.end(), [](char32_t c) { return class_of(c) != 0; });
        const auto end = std::find_if(marks, out.end(), [](char32_t c) { return class_of(c) == 0; });
        std::stable_sort(marks, end, [](char32_t a, char32_t b) { return class_of(a) < class_of(b); });
        at = end;
    }
    return out;
}

char32_t pair(char32_t a, char32_t b) {
    if (a >= first_lead && a < first_lead + leads && b >= first_vowel && b < first_vowel + vowels)
        return first_syllable + ((a - first_lead) * vowels + (b - first_vowel)) * tails;
    const bool open = a >= first_syllable && a < first_syllable + syllables && (a - first_syllable) % tails == 0;
    if (open && b > first_tail && b < first_tail + tails) return a + (b - first_tail);
    const auto* begin = std::begin(unicode::compositions);
    const auto* end = std::end(unicode::compositions);
    const auto* at = std::lower_bound(begin, end, b, [&](const unicode::Pair& row, char32_t second) {
        return row.first != a ? row.first < a : row.second < second;
    });
    return at != end && at->first == a && at->second == b ? at->composed : 0;
}

/// NFC.
Text composed(const Text& text) {
    const Text apart = decomposed(text);
    Text out;
    std::size_t starter = Text::npos;
    int last = -1;  // the class of the mark before; -1 right after a starter
    for (char32_t c : apart) {
        const int rank = class_of(c);
        if (starter != Text::npos && (last < rank || last == -1)) {
            if (const char32_t made = pair(out[starter], c)) {
                out[starter] = made;
                continue;
            }
        }
        if (rank == 0) {
            starter = out.size();
            last = -1;
        } else {
            last = rank;
        }
        out.push_back(c);
    }
    return out;
}

Text single_spaced(const Text& text) {
    Text out;
    for (char32_t c : text) {
        if (!is_space(c))
            out.push_back(c);
        else if (!out.empty() && out.back() != U' ')
            out.push_back(U' ');
    }
    if (!out.empty() && out.back() == U' ') out.pop_back();
    return out;
}

}  // namespace

std::string fold(const std::string& name) {
    Text text = decoded(name);
    text.erase(std::remove_if(text.begin(), text.end(), is_unseen), text.end());
    return encoded(single_spaced(composed(mapped(decomposed(text), unicode::case_folds))));
}

bool is_printable(const std::string& name) {
    const Text text = decoded(name);
    return !fold(name).empty() && std::none_of(text.begin(), text.end(), is_control);
}

}  // namespace cgsam
