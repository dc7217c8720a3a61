import CGSAM
import Foundation

private let onnx = "onnxruntime/concept.onnx", package = "coreml/concept.mlpackage"
private let model = package + "/Data/com.apple.CoreML/model.mlmodel"

/// Makes a bundle by a recipe of hostile.json. What a recipe does to a graph of ONNX Runtime is done to Core ML's package of that
/// graph, so that this reader meets the same fault.
func make(_ recipe: [String: Any], from good: URL, in folder: URL) throws -> URL {
    let made = folder.appendingPathComponent("\(recipe["name"]!).cgsam")
    try? FileManager.default.removeItem(at: made)
    try FileManager.default.copyItem(at: good, to: made)
    for step in recipe["steps"] as! [[String: Any]] {
        if let keys = step["unset"] as? [String], keys == ["files", onnx] {
            let files = (try json(made.appendingPathComponent("manifest.json"))["files"] as! [String: Any]).keys
            for name in files where name.hasPrefix(package) { try apply(["unset": ["files", name]], to: made) }
        } else {
            try apply(retargeted(step), to: made)
        }
    }
    return made
}

private func retargeted(_ step: [String: Any]) -> [String: Any] {
    step.mapValues { value in
        if let name = value as? String, name == onnx { return model }
        guard let keys = value as? [Any] else { return value }
        return keys.map { ($0 as? String).map { $0 == "onnxruntime" ? "coreml" : $0 } ?? $0 }
    }
}

/// The words that a refusal must hold, of packages too.
private func words(_ recipe: [String: Any]) -> [String] {
    (recipe["says"] as! [String]).map {
        $0.replacingOccurrences(of: onnx, with: package).replacingOccurrences(of: "concept.onnx", with: "concept.mlpackage")
    }
}

private func apply(_ step: [String: Any], to bundle: URL) throws {
    let manifestURL = bundle.appendingPathComponent("manifest.json")
    if let name = step["file"] as? String {
        let url = bundle.appendingPathComponent(name)
        if step["gone"] != nil { return try FileManager.default.removeItem(at: url) }
        var data = try Data(contentsOf: url)
        if let keep = step["keep"] as? Int { data = data.prefix(min(keep, data.count - 1)) }
        if let flip = step["flip"] as? Int { data[min(flip, data.count - 1)] ^= 1 }
        if let text = step["base64"] as? String { data = Data(base64Encoded: text)! }
        return try data.write(to: url)
    }
    var manifest: Any = try json(manifestURL)
    if let name = step["relist"] as? String {
        let data = try Data(contentsOf: bundle.appendingPathComponent(name))
        set(&manifest, ["files", name], ["size": data.count, "sha256": sha256(data)])
    } else {
        set(&manifest, (step["set"] ?? step["unset"]) as! [Any], step["to"])
    }
    try JSONSerialization.data(withJSONObject: manifest).write(to: manifestURL)
}

private func set(_ place: inout Any, _ keys: [Any], _ value: Any?) {
    guard let key = keys.first else { place = value!; return }
    let rest = Array(keys.dropFirst())
    if let at = key as? Int {
        var list = place as! [Any]
        set(&list[at], rest, value)
        place = list
        return
    }
    var object = place as! [String: Any]
    let name = key as! String
    if rest.isEmpty, value == nil {
        object[name] = nil
    } else {
        var inner: Any = object[name] ?? [String: Any]()
        set(&inner, rest, value)
        object[name] = inner
    }
    place = object
}

/// Where the refusal of a hostile bundle falls short, or nil.
func hostileProblem(_ recipe: [String: Any], _ bundle: URL) async -> String? {
    do {
        let segmenter = try await Segmenter(bundle: bundle)
        _ = try segmenter.encode(Image(width: 2, height: 2, rgb: [UInt8](repeating: 0, count: 12))).predict("car")
    } catch let error as CGSAMError {
        let missing = words(recipe).first { !error.description.contains($0) }
        return missing.map { "the message lacks \($0): \(error)" }
    } catch {
        return "an error that is not this package's: \(error)"
    }
    return "was not refused"
}
