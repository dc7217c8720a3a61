// From a bundle's Core ML packages, its vocabulary and an image to a mask, from text alone.
//
// NEVER COMPILED, NEVER RUN: written without a Mac at hand, and checked only by reading it against docs/bundle.md,
// whose steps the numbers below are. Take it as a worked specification. Needs iOS 16 or macOS 13, and a bundle that was
// exported with --target coreml.
//
//     let segmenter = try await Segmenter(bundle: URL(fileURLWithPath: "cars.cgsam"))
//     let mask = try segmenter.mask(of: "car", in: image)   // [Bool], rows first, of the image's size

import CoreGraphics
import CoreML
import Foundation

struct BundleError: Error { let message: String }

// MARK: manifest.json, as far as it is needed

struct Manifest: Decodable {
    struct Geometry: Decodable { let imageSize, maskSize, patchGrid, embedDim: Int }
    struct Prompting: Decodable { let threshold: Float; let points: Int; let denseValue: Float; let clickSlots: Int }
    struct Concept: Decodable { let name: String; let synonyms: [String] }
    struct Tensor: Decodable { let name: String; let shape: [Int] }
    struct Graph: Decodable { let path: String; let inputs, outputs: [Tensor] }

    let formatVersion: Int
    let geometry: Geometry
    let prompting: Prompting
    let concepts: [Concept]
    let targets: [String: [String: Graph]]

    init(bundle: URL) throws {
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        self = try decoder.decode(Manifest.self, from: Data(contentsOf: bundle.appendingPathComponent("manifest.json")))
        guard formatVersion == 1 else { throw BundleError(message: "format version \(formatVersion) is not 1") }
    }
}

// MARK: vocabulary.npz, a zip of .npy files that are stored and not compressed

struct Array32 { let shape: [Int]; let values: [Float] }

/// Walks the local headers. A .npy tells its own size, so that the zip's sizes are not needed.
func readNpz(_ url: URL) throws -> [String: Array32] {
    let bytes = [UInt8](try Data(contentsOf: url))
    func number(_ at: Int, _ count: Int) -> Int { (0..<count).reduce(0) { $0 | Int(bytes[at + $1]) << (8 * $1) } }
    var arrays: [String: Array32] = [:]
    var at = 0
    while at + 30 <= bytes.count, number(at, 4) == 0x0403_4b50 {
        guard number(at + 8, 2) == 0 else { throw BundleError(message: "vocabulary.npz is compressed") }
        let nameLength = number(at + 26, 2), extraLength = number(at + 28, 2)
        let name = String(decoding: bytes[(at + 30)..<(at + 30 + nameLength)], as: UTF8.self)
        let npy = at + 30 + nameLength + extraLength  // \x93NUMPY, two bytes of version, its header's length, the header
        let lengthBytes = bytes[npy + 6] == 1 ? 2 : 4
        let headerStart = npy + 8 + lengthBytes
        let start = headerStart + number(npy + 8, lengthBytes)
        let header = String(decoding: bytes[headerStart..<start], as: UTF8.self)
        guard header.contains("'<f4'"), header.contains("'fortran_order': False") else {
            throw BundleError(message: "\(name) is not float32 in row order")
        }
        let inside = header[header.firstIndex(of: "(")!..<header.firstIndex(of: ")")!].dropFirst()
        let shape = inside.split(separator: ",").compactMap { Int($0.trimmingCharacters(in: .whitespaces)) }
        let count = shape.reduce(1, *)
        let values = (0..<count).map { Float(bitPattern: UInt32(number(start + 4 * $0, 4))) }
        arrays[name.replacingOccurrences(of: ".npy", with: "")] = Array32(shape: shape, values: values)
        at = start + 4 * count
    }
    return arrays
}

// MARK: resizing

/// Pillow's antialiased bilinear filter on 8-bit values: a triangle as wide as the step, columns before rows.
func squash(_ pixels: [UInt8], width: Int, height: Int, channels: Int, to size: Int) -> [UInt8] {
    func weights(_ from: Int) -> [(first: Int, values: [Float])] {
        let scale = Float(from) / Float(size), reach = max(scale, 1)
        return (0..<size).map { i in
            let centre = (Float(i) + 0.5) * scale
            let first = max(0, Int(centre - reach + 0.5)), last = min(from, Int(centre + reach + 0.5))
            let raw = (first..<last).map { max(0, 1 - abs((Float($0) - centre + 0.5) / reach)) }
            let sum = raw.reduce(0, +)
            return (first, raw.map { $0 / sum })
        }
    }
    func byte(_ value: Float) -> UInt8 { UInt8(min(255, max(0, (value + 0.5).rounded(.down)))) }
    var narrow = [UInt8](repeating: 0, count: height * size * channels)
    for (x, w) in weights(width).enumerated() {
        for y in 0..<height { for c in 0..<channels {
            var sum: Float = 0
            for (k, v) in w.values.enumerated() { sum += v * Float(pixels[(y * width + w.first + k) * channels + c]) }
            narrow[(y * size + x) * channels + c] = byte(sum)
        } }
    }
    var square = [UInt8](repeating: 0, count: size * size * channels)
    for (y, w) in weights(height).enumerated() {
        for x in 0..<size { for c in 0..<channels {
            var sum: Float = 0
            for (k, v) in w.values.enumerated() { sum += v * Float(narrow[((w.first + k) * size + x) * channels + c]) }
            square[(y * size + x) * channels + c] = byte(sum)
        } }
    }
    return square
}

/// Bilinear, pixel centres aligned, without antialiasing.
func resize(_ plane: [Float], _ width: Int, _ height: Int, to newWidth: Int, _ newHeight: Int) -> [Float] {
    func places(_ from: Int, _ to: Int) -> [(Int, Int, Float)] {
        (0..<to).map { i in
            let at = min(Float(from - 1), max(0, (Float(i) + 0.5) * Float(from) / Float(to) - 0.5))
            return (Int(at), min(Int(at) + 1, from - 1), at - at.rounded(.down))
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

// MARK: the way from an image to a mask

final class Segmenter {
    private let manifest: Manifest
    private let graphs: [String: Manifest.Graph]
    private let models: [String: MLModel]
    private let features, rows: Array32

    init(bundle: URL, units: MLComputeUnits = .all) async throws {
        manifest = try Manifest(bundle: bundle)
        guard let held = manifest.targets["coreml"] else { throw BundleError(message: "no Core ML packages inside") }
        let arrays = try readNpz(bundle.appendingPathComponent("vocabulary.npz"))
        guard let features = arrays["features"], let rows = arrays["rows"] else {
            throw BundleError(message: "vocabulary.npz lacks an array")
        }
        let configuration = MLModelConfiguration()
        configuration.computeUnits = units
        var opened: [String: MLModel] = [:]
        for (name, graph) in held {  // an app would keep what compileModel returns: it is the slow part
            let compiled = try await MLModel.compileModel(at: bundle.appendingPathComponent(graph.path))
            opened[name] = try MLModel(contentsOf: compiled, configuration: configuration)
        }
        graphs = held
        models = opened
        self.features = features
        self.rows = rows
    }

    func mask(of concept: String, in image: CGImage) throws -> [Bool] {
        let index = try self.index(of: concept)
        let size = manifest.geometry.imageSize, grid = manifest.geometry.patchGrid, length = manifest.geometry.embedDim
        // 1. pixels, and what all concepts of the image share
        var tensors = try run("image", ["pixels": pixels(of: image)])
        // 2. similarity of each patch, after the class token, with the concept
        let text = Array(features.values[(index * length)..<((index + 1) * length)])
        let patches = tensors["clip_features"]!
        let similarity: [Float] = (1...(grid * grid)).map { patch in
            (0..<length).reduce(Float(0)) { $0 + patches[patch * length + $1] * text[$1] }
        }
        tensors["similarity"] = similarity
        let rowLength = rows.shape[1] * rows.shape[2]
        tensors["text_row"] = Array(rows.values[(index * rowLength)..<((index + 1) * rowLength)])
        tensors.merge(try run("concept", tensors)) { $1 }
        // 3. the map
        let low = similarity.min()!, high = similarity.max()!
        let contrast = similarity.map { high > low ? ($0 - low) / (high - low) : 0 }
        let map = resize(contrast, grid, grid, to: size, size)
        // 4. the dense prompt
        let side = manifest.geometry.maskSize, prompting = manifest.prompting
        tensors["dense_prompt"] = resize(map, size, size, to: side, side).map {
            $0 > prompting.threshold ? prompting.denseValue : 0
        }
        // 5. and 6. points in the first slots, "not a point" in the last
        let slots = prompting.clickSlots + 3
        var points = [Float](repeating: 0, count: 2 * slots), labels = [Float](repeating: -2, count: slots)
        for (slot, at) in drawnPoints(map).enumerated() {
            (points[2 * slot], points[2 * slot + 1], labels[slot]) = (Float(at % size), Float(at / size), 1)
        }
        labels[slots - 1] = -1
        tensors["points"] = points
        tensors["labels"] = labels
        // 7. the mask
        let logits = try run("decoder", tensors)["mask_logits"]!
        return resize(logits, side, side, to: image.width, image.height).map { $0 > 0 }
    }

    /// Names are compared without case, and with runs of spaces as one.
    private func index(of concept: String) throws -> Int {
        func fold(_ name: String) -> String {
            name.lowercased().split(whereSeparator: \.isWhitespace).joined(separator: " ")
        }
        let wanted = fold(concept)
        for (index, known) in manifest.concepts.enumerated() {
            if ([known.name] + known.synonyms).map(fold).contains(wanted) { return index }
        }
        throw BundleError(message: "the bundle has no concept \(concept)")
    }

    /// The pixels above the threshold of highest priority; if there are too few, the greatest of the map.
    private func drawnPoints(_ map: [Float]) -> [Int] {
        func priority(_ index: Int) -> UInt64 {  // SplitMix64
            var z = (UInt64(index) &+ 1) &* 0x9E37_79B9_7F4A_7C15
            z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
            z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
            return z ^ (z >> 31)
        }
        let count = manifest.prompting.points
        var candidates = map.indices.filter { map[$0] > manifest.prompting.threshold }
        if candidates.count < count {  // ties to the lower index
            candidates = Array(map.indices.sorted { map[$0] != map[$1] ? map[$0] > map[$1] : $0 < $1 }.prefix(count))
        }
        return Array(candidates.sorted { priority($0) > priority($1) }.prefix(count))
    }

    /// RGB, 0 to 255, planes one after the other. The image is taken as it lies: turn it by its EXIF orientation first.
    private func pixels(of image: CGImage) throws -> [Float] {
        let size = manifest.geometry.imageSize
        var rgba = [UInt8](repeating: 255, count: 4 * image.width * image.height)
        let drawn = rgba.withUnsafeMutableBytes { memory -> Bool in
            guard let context = CGContext(
                data: memory.baseAddress, width: image.width, height: image.height, bitsPerComponent: 8,
                bytesPerRow: 4 * image.width, space: CGColorSpace(name: CGColorSpace.sRGB)!,
                bitmapInfo: CGImageAlphaInfo.noneSkipLast.rawValue
            ) else { return false }
            context.draw(image, in: CGRect(x: 0, y: 0, width: image.width, height: image.height))
            return true
        }
        guard drawn else { throw BundleError(message: "the image cannot be drawn") }
        let square = squash(rgba, width: image.width, height: image.height, channels: 4, to: size)
        return (0..<3).flatMap { c in (0..<(size * size)).map { Float(square[4 * $0 + c]) } }
    }

    /// Feeds the inputs that the manifest lists, in their shapes, and returns all outputs in row order.
    private func run(_ name: String, _ tensors: [String: [Float]]) throws -> [String: [Float]] {
        guard let graph = graphs[name], let model = models[name] else { throw BundleError(message: "no graph \(name)") }
        var inputs: [String: MLFeatureValue] = [:]
        for input in graph.inputs {
            guard let values = tensors[input.name] else { throw BundleError(message: "nothing makes \(input.name)") }
            let array = MLShapedArray<Float>(scalars: values, shape: input.shape)
            inputs[input.name] = MLFeatureValue(multiArray: MLMultiArray(array))
        }
        let made = try model.prediction(from: MLDictionaryFeatureProvider(dictionary: inputs))
        var outputs: [String: [Float]] = [:]
        for output in graph.outputs {
            guard let array = made.featureValue(for: output.name)?.multiArrayValue else {
                throw BundleError(message: "\(name) did not make \(output.name)")
            }
            outputs[output.name] = MLShapedArray<Float>(array).scalars
        }
        return outputs
    }
}
