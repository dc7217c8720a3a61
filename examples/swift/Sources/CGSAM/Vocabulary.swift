import Foundation

/// A float32 array, rows first.
public struct Array32 {
    public let shape: [Int]
    public let values: [Float]
}

/// Reads an archive of stored .npy files, float32 and rows first. Every place is checked before it is read.
func readNpz(_ data: Data, _ place: String) throws -> [String: Array32] {
    let bytes = [UInt8](data)
    func refuse(_ why: String) -> CGSAMError { CGSAMError("\(place): not a vocabulary (\(why))") }
    func number(_ at: Int, _ count: Int) throws -> Int {
        guard at >= 0, count <= bytes.count, at <= bytes.count - count else { throw refuse("it is cut short") }
        return (0..<count).reduce(0) { $0 | Int(bytes[at + $1]) << (8 * $1) }
    }
    guard bytes.count >= 22, bytes.count < 1 << 31 else { throw refuse("it is no zip file") }
    let ends = stride(from: bytes.count - 22, through: max(0, bytes.count - 22 - 65535), by: -1)
    guard let end = try ends.first(where: { try number($0, 4) == 0x0605_4b50 }) else {
        throw refuse("it is no zip file, or its end is missing")
    }
    var arrays: [String: Array32] = [:]
    var at = try number(end + 16, 4)
    for _ in 0..<(try number(end + 10, 2)) {
        guard try number(at, 4) == 0x0201_4b50 else { throw refuse("its list of members is damaged") }
        let nameLength = try number(at + 28, 2), extra = try number(at + 30, 2), note = try number(at + 32, 2)
        guard try number(at + 10, 2) == 0 else { throw refuse("it is compressed; bundles store it") }
        let header = try number(at + 42, 4)
        _ = try number(at + 46, nameLength > 0 ? 1 : 0)
        guard at + 46 + nameLength <= bytes.count else { throw refuse("it is cut short") }
        let name = String(decoding: bytes[(at + 46)..<(at + 46 + nameLength)], as: UTF8.self)
        guard try number(header, 4) == 0x0403_4b50 else { throw refuse("\(name) has no header") }
        let start = header + 30 + (try number(header + 26, 2)) + (try number(header + 28, 2))
        let array = try readNpy(bytes, start, number, { refuse("\(name) \($0)") })
        guard arrays.updateValue(array, forKey: name.replacingOccurrences(of: ".npy", with: "")) == nil else {
            throw refuse("two arrays of the name \(name)")
        }
        at += 46 + nameLength + extra + note
    }
    return arrays
}

/// A .npy tells its own size, so that the zip's sizes are not needed.
private func readNpy(
    _ bytes: [UInt8], _ start: Int, _ number: (Int, Int) throws -> Int, _ refuse: (String) -> CGSAMError
) throws -> Array32 {
    let lengthBytes = try number(start + 6, 1) == 1 ? 2 : 4
    let headerStart = start + 8 + lengthBytes, length = try number(start + 8, lengthBytes)
    guard try number(start, 4) == 0x4d55_4e93, length <= 65536, headerStart <= bytes.count - length else {
        throw refuse("is no array")
    }
    let header = String(decoding: bytes[headerStart..<(headerStart + length)], as: UTF8.self)
    guard header.contains("'descr': '<f4'"), header.contains("'fortran_order': False"),
          let open = header.firstIndex(of: "("), let close = header.firstIndex(of: ")"), open < close else {
        throw refuse("is not float32, rows first")
    }
    let shape = header[header.index(after: open)..<close].split(separator: ",").compactMap { Int($0.trimmingCharacters(in: .whitespaces)) }
    var count = 1
    for side in shape {
        guard side >= 0, side <= bytes.count, count <= bytes.count else { throw refuse("declares shape \(shape), more than it holds") }
        count *= side
    }
    let first = headerStart + length
    guard count <= (bytes.count - first) / 4 else { throw refuse("declares shape \(shape), more than it holds") }
    let values = (0..<count).map { i -> Float in
        let at = first + 4 * i
        return Float(bitPattern: UInt32(bytes[at]) | UInt32(bytes[at + 1]) << 8 | UInt32(bytes[at + 2]) << 16 | UInt32(bytes[at + 3]) << 24)
    }
    return Array32(shape: shape, values: values)
}

/// Names and numbers of the concepts.
struct Vocabulary {
    let names: [String]
    let features, rows, presence, screening: Array32
    private let aliases: [String: Int]

    init(_ bundle: BundleFolder) throws {
        let place = bundle.url.appendingPathComponent("vocabulary.npz").path, concepts = bundle.manifest.concepts
        let arrays = try readNpz(bundle.verified("vocabulary.npz"), place)
        guard !concepts.isEmpty else { throw CGSAMError("\(place): the vocabulary holds no concept") }
        func array(_ name: String, _ axes: Int, _ columns: Int? = nil) throws -> Array32 {
            guard let found = arrays[name] else { throw CGSAMError("\(place): not a vocabulary (it lacks \(name))") }
            guard found.shape.count == axes, found.shape[0] == concepts.count, columns == nil || found.shape[1] == columns else {
                throw CGSAMError("\(place): \(name) must have \(axes) axes and \(concepts.count) entries, got \(found.shape)")
            }
            return found
        }
        func calibration(_ name: String, _ columns: Int) throws -> Array32 {
            let none = [Float](repeating: .nan, count: columns * concepts.count)
            return arrays[name] == nil ? Array32(shape: [concepts.count, columns], values: none) : try array(name, 2, columns)
        }
        names = concepts.map(\.name)
        features = try array("features", 2, bundle.manifest.geometry.embedDim)
        rows = try array("rows", 3)
        presence = try calibration("presence", 9)
        screening = try calibration("screening", 4)
        aliases = try Self.aliases(concepts, place)
        let length = bundle.manifest.geometry.embedDim
        for start in stride(from: 0, to: features.values.count, by: length) {
            let norm = features.values[start..<(start + length)].reduce(Double(0)) { $0 + Double($1) * Double($1) }.squareRoot()
            guard abs(norm - 1) < 1e-2 else { throw CGSAMError("\(place): features must be of unit length, got \(norm)") }
        }
    }

    func index(_ name: String) throws -> Int {
        guard let found = aliases[fold(name)] else {
            throw CGSAMError("no concept \(name); the bundle holds: \(names.joined(separator: ", "))")
        }
        return found
    }

    private static func aliases(_ concepts: [Manifest.Concept], _ place: String) throws -> [String: Int] {
        var made: [String: Int] = [:]
        for (index, concept) in concepts.enumerated() {
            for name in [concept.name] + concept.synonyms {
                let key = fold(name)
                guard !key.isEmpty else { throw CGSAMError("\(place): a name of concept \(index) cannot be read") }
                if let other = made.updateValue(index, forKey: key) {
                    throw CGSAMError("\(place): \(name) names \(concepts[other].name) and \(concept.name)")
                }
            }
        }
        return made
    }
}

/// The form under which names are compared. Swift compares strings by canonical equivalence, so accents need no normal form; full
/// case folding is made of upper case and then lower case, which is the same but for the dotless i.
public func fold(_ name: String) -> String {
    let spaces: Set<UInt32> = [0x85, 0x1c, 0x1d, 0x1e, 0x1f]
    var folded = ""
    for scalar in name.decomposedStringWithCanonicalMapping.unicodeScalars {
        let properties = scalar.properties
        if properties.isWhitespace || spaces.contains(scalar.value) {
            folded += " "
        } else if !properties.isDefaultIgnorableCodePoint, properties.generalCategory != .control {
            let upper = scalar.value == 0x131 ? String(scalar) : properties.uppercaseMapping
            folded += upper.unicodeScalars.map(\.properties.lowercaseMapping).joined()
        }
    }
    return folded.split(separator: " ").joined(separator: " ").precomposedStringWithCanonicalMapping
}
