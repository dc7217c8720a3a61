import Foundation

/// A bundle's folder: nothing in it is trusted before its size and hash were checked.
struct BundleFolder {
    let url: URL
    let manifest: Manifest

    init(_ url: URL) throws {
        self.url = url
        manifest = try Manifest(bundle: url)
    }

    func graphs(_ target: String) throws -> [String: Manifest.Graph] {
        guard let held = manifest.targets[target] else { throw CGSAMError("\(url.path): holds no graphs for \(target)") }
        for name in ["image", "concept", "decoder"] + (manifest.formatVersion > 1 ? ["clip"] : []) where held[name] == nil {
            throw CGSAMError("\(url.path): the target \(target) lacks the graph \(name)")
        }
        return held
    }

    /// The place of a graph, after a check of each of its files.
    func verifiedGraph(_ graph: Manifest.Graph) throws -> URL {
        let place = try inside(graph.path)
        let parts = manifest.files.keys.filter { $0 == graph.path || $0.hasPrefix(graph.path + "/") }
        guard !parts.isEmpty else { throw CGSAMError("\(url.path): the manifest does not list the file \(graph.path)") }
        for name in parts.sorted() { _ = try verified(name) }
        return place
    }

    func verified(_ name: String) throws -> Data {
        let path = try inside(name)
        guard let file = manifest.files[name] else { throw CGSAMError("\(url.path): the manifest does not list \(name)") }
        guard let data = try? Data(contentsOf: path) else { throw CGSAMError("\(path.path): missing from the bundle") }
        guard data.count == file.size else {
            throw CGSAMError("\(path.path): truncated or altered: expected \(file.size) bytes, got \(data.count)")
        }
        guard sha256(data) == file.sha256 else {
            throw CGSAMError("\(path.path): altered: its SHA-256 is not the one in the manifest")
        }
        return data
    }

    private func inside(_ name: String) throws -> URL {
        let odd = name.isEmpty || name.hasPrefix("/") || name.contains("\\") || name.contains(":")
            || name.split(separator: "/").contains("..") || name.unicodeScalars.contains { $0.properties.generalCategory == .control }
        guard !odd else { throw CGSAMError("\(url.path): a path in the manifest leads out of the bundle; refused") }
        let path = url.appendingPathComponent(name), root = url.resolvingSymlinksInPath().path
        guard path.resolvingSymlinksInPath().path.hasPrefix(root + "/") else {
            throw CGSAMError("\(url.path): the path \(name) leads out of the bundle by a link; refused")
        }
        return path
    }
}

/// SHA-256 (FIPS 180-4), in lower-case hex.
public func sha256(_ data: Data) -> String {
    func turned(_ x: UInt32, _ by: UInt32) -> UInt32 { x >> by | x << (32 - by) }
    var bytes = [UInt8](data)
    let bits = UInt64(bytes.count) * 8
    bytes.append(0x80)
    bytes += [UInt8](repeating: 0, count: (120 - bytes.count % 64) % 64)
    bytes += (0..<8).map { UInt8(truncatingIfNeeded: bits >> (56 - 8 * UInt64($0))) }
    var state: [UInt32] = [0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19]
    var w = [UInt32](repeating: 0, count: 64)
    for start in stride(from: 0, to: bytes.count, by: 64) {
        for i in 0..<16 {
            let at = start + 4 * i
            w[i] = UInt32(bytes[at]) << 24 | UInt32(bytes[at + 1]) << 16 | UInt32(bytes[at + 2]) << 8 | UInt32(bytes[at + 3])
        }
        for i in 16..<64 {
            let a = turned(w[i - 15], 7) ^ turned(w[i - 15], 18) ^ (w[i - 15] >> 3)
            let b = turned(w[i - 2], 17) ^ turned(w[i - 2], 19) ^ (w[i - 2] >> 10)
            w[i] = w[i - 16] &+ a &+ w[i - 7] &+ b
        }
        var (a, b, c, d) = (state[0], state[1], state[2], state[3])
        var (e, f, g, h) = (state[4], state[5], state[6], state[7])
        for i in 0..<64 {
            let big = turned(e, 6) ^ turned(e, 11) ^ turned(e, 25)
            let t = h &+ big &+ ((e & f) ^ (~e & g)) &+ sha256Constants[i] &+ w[i]
            let small = turned(a, 2) ^ turned(a, 13) ^ turned(a, 22)
            let u = small &+ ((a & b) ^ (a & c) ^ (b & c))
            (h, g, f, e, d, c, b, a) = (g, f, e, d &+ t, c, b, a, t &+ u)
        }
        for (i, value) in [a, b, c, d, e, f, g, h].enumerated() { state[i] = state[i] &+ value }
    }
    return state.map { String(format: "%08x", $0) }.joined()
}

private let sha256Constants: [UInt32] = [
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01,
    0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc,
    0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147,
    0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08,
    0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208,
    0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
]
