import Foundation

/// Everything that this package throws.
public struct CGSAMError: Error, CustomStringConvertible {
    public let description: String
    init(_ text: String) { description = text }
}

/// manifest.json, as far as it is needed.
public struct Manifest: Decodable {
    public struct Geometry: Decodable { public let imageSize, maskSize, patchGrid, embedDim: Int }
    public struct Prompting: Decodable {
        public let threshold: Float
        public let points: Int
        public let denseValue: Float
        public let clickSlots: Int
    }
    public struct Concept: Decodable { public let name: String; public let synonyms: [String] }
    struct Tensor: Decodable { let name: String; let shape: [Int] }
    struct Graph: Decodable { let path: String; let inputs, outputs: [Tensor] }
    struct File: Decodable { let size: Int; let sha256: String }

    public static let newestFormat = 2

    public let formatVersion: Int
    public let geometry: Geometry
    public let prompting: Prompting
    public let concepts: [Concept]
    let files: [String: File]
    let targets: [String: [String: Graph]]

    private struct Head: Decodable { let format: String; let formatVersion: Int }

    init(bundle: URL) throws {
        let url = bundle.appendingPathComponent("manifest.json")
        guard let data = try? Data(contentsOf: url), data.count <= 16 << 20 else {
            throw CGSAMError("\(bundle.path): not a bundle (it has no manifest.json that can be read)")
        }
        let decoder = JSONDecoder()
        let head: Head
        do {
            decoder.keyDecodingStrategy = .convertFromSnakeCase
            head = try decoder.decode(Head.self, from: data)
        } catch {
            throw CGSAMError("\(url.path): not a manifest; format and format_version are missing or wrong (\(Self.place(error)))")
        }
        guard head.format == "cgsam-bundle" else { throw CGSAMError("\(url.path): not the manifest of a cgsam-bundle") }
        guard (1...Self.newestFormat).contains(head.formatVersion) else {
            throw CGSAMError("\(url.path): format version \(head.formatVersion) is not from 1 to \(Self.newestFormat)")
        }
        do {
            self = try decoder.decode(Manifest.self, from: data)
        } catch {
            throw CGSAMError("\(url.path): a value is missing or wrong: \(Self.place(error))")
        }
        try check(url.path)
    }

    /// Where in the file an error of the decoder lies, in the file's own words.
    private static func place(_ error: Error) -> String {
        let context: DecodingError.Context
        var last = ""
        switch error {
        case DecodingError.keyNotFound(let key, let at): (context, last) = (at, "." + key.stringValue)
        case DecodingError.typeMismatch(_, let at), DecodingError.valueNotFound(_, let at), DecodingError.dataCorrupted(let at): context = at
        default: return "\(error)"
        }
        let path = context.codingPath.map(\.stringValue).joined(separator: ".") + last
        let snake = path.replacingOccurrences(of: "([a-z])([A-Z])", with: "$1_$2", options: .regularExpression).lowercased()
        return "\(snake): \(context.debugDescription)"
    }

    private func check(_ place: String) throws {
        let sizes = ["image_size": geometry.imageSize, "mask_size": geometry.maskSize, "patch_grid": geometry.patchGrid,
                     "embed_dim": geometry.embedDim, "click_slots": prompting.clickSlots]
        for (name, size) in sizes where !(1...16384).contains(size) {
            throw CGSAMError("\(place): \(name) must be from 1 to 16384, got \(size)")
        }
        guard prompting.threshold > 0, prompting.threshold < 1, (1...prompting.clickSlots).contains(prompting.points) else {
            throw CGSAMError("\(place): prompting must have 0 < threshold < 1 and 1 <= points <= click_slots")
        }
        for graph in targets.values.flatMap(\.values) {
            for tensor in graph.inputs + graph.outputs {
                var count = 1
                for side in tensor.shape {
                    guard side > 0, side <= (1 << 31) / count else {
                        throw CGSAMError("\(place): the tensor \(tensor.name) cannot have shape \(tensor.shape)")
                    }
                    count *= side
                }
            }
        }
    }
}
