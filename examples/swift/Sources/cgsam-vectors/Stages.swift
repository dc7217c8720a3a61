import CGSAM
import Foundation

func image(_ file: VectorFile, _ value: Any?) -> Image {
    let shape = file.shape(value)
    return Image(width: shape[1], height: shape[0], rgb: file.bytes(value as! [String: Any]))
}

func clicks(_ given: [String: Any]) -> Clicks {
    func doubles(_ value: Any?) -> [Double]? { (value as? [NSNumber])?.map(\.doubleValue) }
    return Clicks(
        points: (given["points"] as? [[NSNumber]])?.map { $0.map(\.doubleValue) } ?? [],
        labels: doubles(given["labels"]), box: doubles(given["box"]))
}

/// What a step makes of what is given, by key; nil where the stage needs a bundle.
func step(_ file: VectorFile, _ stage: String, _ given: [String: Any]) -> [String: [Float]]? {
    func int(_ key: String) -> Int { (given[key] as! NSNumber).intValue }
    func float(_ key: String) -> Float { (given[key] as! NSNumber).floatValue }
    func floats(_ key: String) -> [Float] { file.floats(given[key]) }
    func side(_ key: String) -> Int { file.shape(given[key])[1] }
    switch stage {
    case "pixels": return ["pixels": squash(image(file, given["image"]), to: int("size")).map(Float.init)]
    case "upright": return ["upright": image(file, given["image"]).upright(int("orientation")).rgb.map(Float.init)]
    case "map": return ["map": similarityMap(floats("similarity"), grid: side("similarity"), size: int("size"))]
    case "dense":
        return ["dense": densePrompt(floats("map"), size: side("map"), maskSize: int("mask_size"), threshold: float("threshold"), value: float("dense_value"))]
    case "points":
        let width = side("map")
        return ["points": textPoints(floats("map"), threshold: float("threshold"), count: int("points")).flatMap { [Float($0 % width), Float($0 / width)] }]
    case "slots":
        let prompt = clicks(given)
        guard (try? prompt.check(width: int("width"), height: int("height"), slots: int("click_slots"))) != nil else { return ["refused": [1]] }
        let made = fillSlots(prompt, width: int("width"), height: int("height"), size: int("size"), clickSlots: int("click_slots"))
        return ["slot_points": made.points, "slot_labels": made.labels]
    case "mask":
        return ["mask": resize(floats("logits"), side("logits"), side("logits"), to: int("width"), int("height")).map { $0 > 0 ? 1 : 0 }]
    case "presence":
        let found = evidence(logits: floats("logits"), score: Double(float("score")), similarity: floats("similarity"),
                             classToken: floats("class_token")[...], text: floats("text")[...])
        let judged = judge(found, floats("row")[...])
        return ["evidence": found, "presence": [Float(judged.presence)], "present": [judged.present ? 1 : 0]]
    case "screening":
        let made = Screened(clipFeatures: floats("clip_features"), text: floats("features"), length: side("features"), rows: floats("rows"))
        return ["chances": made.chances.map(Float.init), "ruled_out": made.ruledOut.map { $0 ? 1 : 0 },
                "order": made.likeliestFirst(Array(made.chances.indices)).map(Float.init)]
    case "names": return ["same": [fold(given["a"] as! String) == fold(given["b"] as! String) ? 1 : 0]]
    default: return nil
    }
}

/// SplitMix64's values are longer than a float: compared as text.
func priorityProblem(_ vector: [String: Any]) -> String? {
    let given = vector["given"] as! [String: Any], expected = vector["expected"] as! [String: Any]
    let got = (given["index"] as! [NSNumber]).map { String(format: "%016lx", priority($0.intValue)) }
    return got == expected["priority"] as! [String] ? nil : "priority: got \(got)"
}
