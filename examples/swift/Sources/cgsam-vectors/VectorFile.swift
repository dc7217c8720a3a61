import Foundation

/// docs/vectors: values, tensors, and whether one comes near enough to another.
struct VectorFile {
    let folder: URL
    let index: [String: Any]

    init(_ folder: URL) throws {
        self.folder = folder
        index = try json(folder.appendingPathComponent("vectors.json"))
    }

    var vectors: [[String: Any]] { index["vectors"] as! [[String: Any]] }

    /// The numbers of a tensor or a list; null counts as NaN.
    func floats(_ value: Any?) -> [Float] {
        if let tensor = value as? [String: Any] {
            let data = bytes(tensor)
            guard tensor["dtype"] as! String == "float32" else { return data.map(Float.init) }
            return stride(from: 0, to: data.count, by: 4).map {
                Float(bitPattern: UInt32(data[$0]) | UInt32(data[$0 + 1]) << 8 | UInt32(data[$0 + 2]) << 16 | UInt32(data[$0 + 3]) << 24)
            }
        }
        if let list = value as? [Any] { return list.flatMap(floats) }
        return [(value as? NSNumber)?.floatValue ?? .nan]
    }

    func bytes(_ tensor: [String: Any]) -> [UInt8] { [UInt8](try! Data(contentsOf: folder.appendingPathComponent(tensor["file"] as! String))) }

    func shape(_ value: Any?) -> [Int] { (value as! [String: Any])["shape"] as! [Int] }

    /// What is wrong with the values of a vector, or nil.
    func problem(_ vector: [String: Any], _ got: [String: [Float]]) -> String? {
        let expected = vector["expected"] as! [String: Any], tolerances = index["tolerances"] as! [String: [String: NSNumber]]
        for (key, value) in expected {
            let wanted = floats(value)
            guard let found = got[key], found.count == wanted.count else { return "\(key): expected \(wanted.count) values, got \(got[key]?.count ?? 0)" }
            let (kind, limit) = (tolerances["\(vector["stage"]!).\(key)"] ?? tolerances[key] ?? ["absolute": 0]).first!
            let off = distance(kind, wanted, found)
            if off > limit.doubleValue { return "\(key): off by \(off) (\(kind)), \(limit) allowed" }
        }
        return got.count == expected.count ? nil : "more came out than is expected"
    }
}

func json(_ url: URL) throws -> [String: Any] {
    try JSONSerialization.jsonObject(with: Data(contentsOf: url)) as! [String: Any]
}

func distance(_ kind: String, _ a: [Float], _ b: [Float]) -> Double {
    let pairs = zip(a, b).map { (Double($0), Double($1)) }
    if kind == "iou" {
        let both = pairs.filter { $0.0 > 0 && $0.1 > 0 }.count, either = pairs.filter { $0.0 > 0 || $0.1 > 0 }.count
        return either == 0 ? 0 : 1 - Double(both) / Double(either)
    }
    let apart = pairs.map { $0.isNaN || $1.isNaN ? ($0.isNaN == $1.isNaN ? 0 : Double.infinity) : abs($0 - $1) }
    if kind == "absolute" || apart.isEmpty { return apart.max() ?? 0 }
    let mean = pairs.reduce(0) { $0 + $1.0 } / Double(pairs.count)
    let spread = (pairs.reduce(0) { $0 + ($1.0 - mean) * ($1.0 - mean) } / Double(pairs.count)).squareRoot()
    return (apart.reduce(0) { $0 + $1 * $1 } / Double(apart.count)).squareRoot() / (spread > 0 ? spread : 1)
}
