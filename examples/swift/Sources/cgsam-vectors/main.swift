// All vectors of docs/vectors, and the bundles that must be refused: cgsam-vectors FOLDER [--results FILE --target TEXT --how HOW]
import CGSAM
import Foundation

var stages: [String: [String: Int]] = [:]
var wrong = 0

func count(_ stage: String, _ name: String, _ problem: String?) {
    stages[stage, default: ["of": 0, "passed": 0]]["of"]! += 1
    if let problem {
        wrong += 1
        print("FAILED \(stage) \(name): \(problem)")
    } else {
        stages[stage]!["passed"]! += 1
    }
}

func seconds(_ work: () async throws -> Void) async throws -> Double {
    var times: [Double] = []
    for _ in 0..<5 {
        let start = Date()
        try await work()
        times.append(Date().timeIntervalSince(start))
    }
    return times.sorted()[2]
}

func maskNumbers(_ result: ConceptResult) -> [Float] { result.mask().map { $0 ? 1 : 0 } }

func segmentProblem(_ file: VectorFile, _ segmenter: Segmenter, _ vector: [String: Any]) throws -> String? {
    let given = vector["given"] as! [String: Any], expected = vector["expected"] as! [String: Any]
    let asked = given["concepts"] as? [String]
    let made = try segmenter.encode(image(file, given["image"])).segment(
        asked, skipAbsent: given["skip_absent"] as? Bool ?? true, maxConcepts: given["max_concepts"] as? Int)
    let names = made.map(\.name), left = (asked ?? segmenter.concepts).filter { asked == nil && !names.contains($0) }.sorted()
    guard names == expected["concepts"] as! [String], left == expected["left_out"] as! [String] else { return "concepts: got \(names)" }
    guard made.map(\.skipped) == expected["skipped"] as! [Bool], made.map(\.present) == expected["present"] as! [Bool] else {
        return "skipped or present: got \(made.map(\.skipped)), \(made.map(\.present))"
    }
    let chances = made.filter(\.skipped).map { Float($0.presence) }
    return file.problem(["stage": "segment", "expected": ["chances": expected["chances"]!]], ["chances": chances])
}

let words = CommandLine.arguments
guard words.count > 1 else { fatalError("usage: cgsam-vectors FOLDER [--results FILE --target TEXT --how HOW]") }
let options = Dictionary(uniqueKeysWithValues: stride(from: 2, to: words.count - 1, by: 2).map { (words[$0], words[$0 + 1]) })
let file = try VectorFile(URL(fileURLWithPath: words[1]))

for vector in file.vectors {
    let stage = vector["stage"] as! String, name = vector["name"] as! String
    if stage == "priority" { count(stage, name, priorityProblem(vector)) }
    if let got = step(file, stage, vector["given"] as! [String: Any]) { count(stage, name, file.problem(vector, got)) }
}

var masks = 0, least = 1.0, differ = 0, pixels = 0
var formats: [Int] = []
var last: (bundle: URL, image: Image)?
for path in file.index["bundles"] as! [String] {
    let bundle = file.folder.appendingPathComponent(path)
    let manifest = try json(bundle.appendingPathComponent("manifest.json"))
    guard (manifest["targets"] as! [String: Any])["coreml"] != nil else { continue }
    let segmenter = try await Segmenter(bundle: bundle)
    let (g, p) = (segmenter.manifest.geometry, segmenter.manifest.prompting)
    formats.append(segmenter.manifest.formatVersion)
    for vector in file.vectors {
        let stage = vector["stage"] as! String, name = vector["name"] as! String, given = vector["given"] as! [String: Any]
        if stage == "segment" { count(stage, name, try segmentProblem(file, segmenter, vector)) }
        guard stage == "bundle" else { continue }
        let picture = image(file, given["image"])
        let result = try segmenter.encode(picture).predict(given["concept"] as! String, clicks(given))
        let map = similarityMap(result.similarity, grid: g.patchGrid, size: g.imageSize)
        let slots = fillSlots(result.clicks, width: picture.width, height: picture.height, size: g.imageSize, clickSlots: p.clickSlots)
        let mask = maskNumbers(result), wanted = file.floats((vector["expected"] as! [String: Any])["mask"])
        masks += 1
        least = min(least, 1 - distance("iou", wanted, mask))
        differ += zip(wanted, mask).filter { $0 != $1 }.count
        pixels += mask.count
        last = (bundle, picture)
        count(stage, name, file.problem(vector, [
            "similarity": result.similarity, "slot_points": slots.points, "slot_labels": slots.labels,
            "dense": densePrompt(map, size: g.imageSize, maskSize: g.maskSize, threshold: p.threshold, value: p.denseValue),
            "logits": result.logits, "score": [Float(result.score)], "evidence": result.evidence,
            "presence": [Float(result.presence)], "present": [result.present ? 1 : 0], "mask": mask,
        ]))
    }
}

let hostile = try json(file.folder.appendingPathComponent("hostile.json"))
let work = FileManager.default.temporaryDirectory.appendingPathComponent("cgsam-hostile-\(ProcessInfo.processInfo.processIdentifier)")
try FileManager.default.createDirectory(at: work, withIntermediateDirectories: true)
var refused = 0
for recipe in hostile["recipes"] as! [[String: Any]] {
    let bundle = try make(recipe, from: file.folder.appendingPathComponent(hostile["bundle"] as! String), in: work)
    if let problem = await hostileProblem(recipe, bundle) {
        wrong += 1
        print("FAILED hostile \(recipe["name"]!): \(problem)")
    } else {
        refused += 1
    }
}
try FileManager.default.removeItem(at: work)

print(stages, "masks \(masks), least IoU \(least), \(differ) of \(pixels) pixels differ, \(refused) hostile bundles refused")
if let path = options["--results"], let last {
    let open = try await seconds { _ = try await Segmenter(bundle: last.bundle) }
    let segmenter = try await Segmenter(bundle: last.bundle)
    let encode = try await seconds { _ = try segmenter.encode(last.image) }
    let day = DateFormatter()
    day.dateFormat = "yyyy-MM-dd"
    day.timeZone = TimeZone(identifier: "UTC")
    let results: [String: Any] = [
        "target": options["--target"] ?? "Swift", "engine": options["--engine"] ?? "Core ML", "how": options["--how"] ?? "hardware",
        "date": day.string(from: Date()), "formats": formats, "stages": stages,
        "masks": ["count": masks, "least_iou": least, "pixels_differ": differ, "pixels": pixels],
        "hostile": ["refused": refused, "of": (hostile["recipes"] as! [Any]).count], "nodes_elsewhere": NSNull(),
        "seconds": ["open": open, "image": encode], "peak_memory": NSNull(),
    ]
    try JSONSerialization.data(withJSONObject: results, options: [.prettyPrinted, .sortedKeys]).write(to: URL(fileURLWithPath: path))
}
exit(wrong == 0 ? 0 : 1)
