import Foundation

/// An RGB image of 8 bits a channel, rows first.
public struct Image {
    public let width, height: Int
    public let rgb: [UInt8]

    public init(width: Int, height: Int, rgb: [UInt8]) {
        (self.width, self.height, self.rgb) = (width, height, rgb)
    }

    /// The image turned upright by its EXIF orientation, 1 to 8.
    public func upright(_ orientation: Int) -> Image {
        guard (2...8).contains(orientation) else { return self }
        let turned = orientation >= 5
        let (w, h) = turned ? (height, width) : (width, height)
        var made = [UInt8](repeating: 0, count: rgb.count)
        for y in 0..<h {
            for x in 0..<w {
                var (u, v) = turned ? (y, x) : (x, y)
                if [2, 3, 7, 8].contains(orientation) { u = width - 1 - u }
                if [3, 4, 6, 7].contains(orientation) { v = height - 1 - v }
                for c in 0..<3 { made[3 * (y * w + x) + c] = rgb[3 * (v * width + u) + c] }
            }
        }
        return Image(width: w, height: h, rgb: made)
    }

    func check() throws {
        guard width >= 2, height >= 2, width * height <= 100_000_000, rgb.count == 3 * width * height else {
            throw CGSAMError("an RGB image must have 2 pixels or more on each side and 3 bytes a pixel, got \(width)x\(height)")
        }
    }
}

/// Pillow's antialiased bilinear filter on 8-bit values, bit for bit: a triangle as wide as the step in fixed point, rows of the image
/// squashed first. Returns planes (3, size, size).
public func squash(_ image: Image, to size: Int) -> [UInt8] {
    let bits = 32 - 8 - 2, half = 1 << (bits - 1)
    func windows(_ from: Int) -> [(first: Int, weights: [Int])] {
        let scale = Double(from) / Double(size), reach = max(scale, 1), inverse = 1 / reach
        return (0..<size).map { i in
            let centre = (Double(i) + 0.5) * scale
            let first = max(0, Int(centre - reach + 0.5)), last = min(from, Int(centre + reach + 0.5))
            let raw = (first..<last).map { max(0, 1 - abs((Double($0) - centre + 0.5) * inverse)) }
            let sum = raw.reduce(0, +)
            return (first, raw.map { Int(0.5 + $0 / sum * Double(1 << bits)) })
        }
    }
    func byte(_ sum: Int) -> UInt8 { UInt8(min(255, max(0, sum >> bits))) }
    var narrow = [UInt8](repeating: 0, count: 3 * size * image.height)
    for (x, window) in windows(image.width).enumerated() {
        for y in 0..<image.height {
            for c in 0..<3 {
                var sum = half
                for (k, weight) in window.weights.enumerated() { sum += weight * Int(image.rgb[3 * (y * image.width + window.first + k) + c]) }
                narrow[3 * (y * size + x) + c] = byte(sum)
            }
        }
    }
    var planes = [UInt8](repeating: 0, count: 3 * size * size)
    for (y, window) in windows(image.height).enumerated() {
        for x in 0..<size {
            for c in 0..<3 {
                var sum = half
                for (k, weight) in window.weights.enumerated() { sum += weight * Int(narrow[3 * ((window.first + k) * size + x) + c]) }
                planes[(c * size + y) * size + x] = byte(sum)
            }
        }
    }
    return planes
}

/// Bilinear, pixel centres aligned, without antialiasing.
public func resize(_ plane: [Float], _ width: Int, _ height: Int, to newWidth: Int, _ newHeight: Int) -> [Float] {
    func places(_ from: Int, _ to: Int) -> [(Int, Int, Float)] {
        (0..<to).map { i in
            let at = Float((Double(i) + 0.5) * Double(from) / Double(to) - 0.5)
            let low = Int(at.rounded(.down))
            if low < 0 { return (0, 0, 0) }
            return low >= from - 1 ? (from - 1, from - 1, 0) : (low, low + 1, at - Float(low))
        }
    }
    let columns = places(width, newWidth)
    var out: [Float] = []
    out.reserveCapacity(newWidth * newHeight)
    for (top, bottom, v) in places(height, newHeight) {
        for (left, right, u) in columns {
            let above = plane[top * width + left] * (1 - u) + plane[top * width + right] * u
            let below = plane[bottom * width + left] * (1 - u) + plane[bottom * width + right] * u
            out.append(above * (1 - v) + below * v)
        }
    }
    return out
}
