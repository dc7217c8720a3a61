// consumer BUNDLE: prints the mask's area of the first concept in a grey image.
#include <cgsam/cgsam.hpp>
#include <iostream>

int main(int count, char** words) {
    if (count != 2) return 2;
    try {
        const cgsam::Segmenter segmenter(words[1]);
        const cgsam::Image grey{64, 48, std::vector<std::uint8_t>(64 * 48 * 3, 128)};
        const auto result = segmenter.segment(grey, {segmenter.concepts().front()});
        std::cout << result.concepts.front().mask().area() << " pixels\n";
        return 0;
    } catch (const cgsam::Error& error) {
        std::cerr << error.what() << '\n';
        return 1;
    }
}
