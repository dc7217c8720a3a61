import Foundation

/// A caller's prompt, in the image's pixels; without points and box, points are drawn from the similarity.
public struct Clicks {
    public var points: [[Double]]
    public var labels: [Double]?  // 1 inside, 0 outside; nil means all inside
    public var box: [Double]?  // x0, y0, x1, y1

    public init(points: [[Double]] = [], labels: [Double]? = nil, box: [Double]? = nil) {
        (self.points, self.labels, self.box) = (points, labels, box)
    }

    var isEmpty: Bool { points.isEmpty && box == nil }

    public func check(width: Int, height: Int, slots: Int) throws {
        guard points.count <= slots else { throw CGSAMError("\(points.count) points, but the bundle has \(slots) slots for clicks") }
        for (x, y) in points.map({ ($0[0], $0[1]) }) + (box.map { [($0[0], $0[1]), ($0[2], $0[3])] } ?? []) {
            guard x >= 0, y >= 0, x <= Double(width), y <= Double(height) else {
                throw CGSAMError("(\(x), \(y)) is outside the image of \(width)x\(height) pixels")
            }
        }
        if let labels {
            guard labels.count == points.count, labels.allSatisfy({ $0 == 0 || $0 == 1 }) else {
                throw CGSAMError("labels must be 1 (inside) or 0 (outside), one for each point, got \(labels)")
            }
        }
        if let box, !(box[0] < box[2] && box[1] < box[3]) { throw CGSAMError("a box must have x0 < x1 and y0 < y1, got \(box)") }
    }
}

/// Min-max normalised and interpolated; zeros where the similarity is flat.
public func similarityMap(_ similarity: [Float], grid: Int, size: Int) -> [Float] {
    let low = similarity.min()!, high = similarity.max()!
    guard high > low else { return [Float](repeating: 0, count: size * size) }
    return resize(similarity.map { ($0 - low) / (high - low) }, grid, grid, to: size, size)
}

public func densePrompt(_ map: [Float], size: Int, maskSize: Int, threshold: Float, value: Float) -> [Float] {
    resize(map, size, size, to: maskSize, maskSize).map { $0 > threshold ? value : 0 }
}

/// SplitMix64 of a pixel's index.
public func priority(_ index: Int) -> UInt64 {
    var z = (UInt64(index) &+ 1) &* 0x9E37_79B9_7F4A_7C15
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
}

/// The pixels above the threshold of highest priority; if there are too few, the greatest of the map, ties to the lower index.
public func textPoints(_ map: [Float], threshold: Float, count: Int) -> [Int] {
    var candidates = map.indices.filter { map[$0] > threshold }
    if candidates.count < count {
        candidates = Array(map.indices.sorted { map[$0] != map[$1] ? map[$0] > map[$1] : $0 < $1 }.prefix(count))
    }
    return Array(candidates.sorted { priority($0) > priority($1) }.prefix(count))
}

func drawnClicks(_ points: [Int], size: Int, width: Int, height: Int) -> Clicks {
    let places = points.map { [Double($0 % size * width) / Double(size), Double($0 / size * height) / Double(size)] }
    return Clicks(points: places, labels: [Double](repeating: 1, count: places.count))
}

/// The decoder's points (slots, 2) and labels (slots): clicks first, a box third and second last, "not a point" last without a box.
public func fillSlots(_ clicks: Clicks, width: Int, height: Int, size: Int, clickSlots: Int) -> (points: [Float], labels: [Float]) {
    let slots = clickSlots + 3, scale = [Double(size) / Double(width), Double(size) / Double(height)]
    var points = [Float](repeating: 0, count: 2 * slots), labels = [Float](repeating: -2, count: slots)
    func put(_ slot: Int, _ x: Double, _ y: Double, _ label: Float) {
        points[2 * slot] = Float(Double(Float(x)) * scale[0])
        points[2 * slot + 1] = Float(Double(Float(y)) * scale[1])
        labels[slot] = label
    }
    for (slot, point) in clicks.points.enumerated() { put(slot, point[0], point[1], Float(clicks.labels?[slot] ?? 1)) }
    if let box = clicks.box {
        put(slots - 3, box[0], box[1], 2)
        put(slots - 2, box[2], box[3], 3)
    } else {
        labels[slots - 1] = -1
    }
    return (points, labels)
}
