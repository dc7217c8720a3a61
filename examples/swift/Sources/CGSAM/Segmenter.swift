#if canImport(CoreML)
import CoreML
import Foundation

/// One concept in one image.
public struct ConceptResult {
    public let name: String
    public let logits: [Float]
    public let maskSize, width, height: Int
    public let score, presence: Double
    public let present, skipped: Bool
    public let evidence, similarity: [Float]
    public let clicks: Clicks

    /// Rows first, of the image's size.
    public func mask() -> [Bool] { resize(logits, maskSize, maskSize, to: width, height).map { $0 > 0 } }
}

/// Segments images by concept with a bundle that was exported with `--target coreml`.
///
///     let segmenter = try await Segmenter(bundle: URL(fileURLWithPath: "cars.cgsam"))
///     let encoded = try segmenter.encode(image)
///     let mask = try encoded.predict("car").mask()
public final class Segmenter {
    public let manifest: Manifest
    let vocabulary: Vocabulary
    private var graphs: [String: CoreMLGraph] = [:]

    public var concepts: [String] { vocabulary.names }

    public init(bundle: URL, units: MLComputeUnits = .all) async throws {
        let folder = try BundleFolder(bundle)
        manifest = folder.manifest
        vocabulary = try Vocabulary(folder)
        for (name, graph) in try folder.graphs("coreml") where ["clip", "image", "concept", "decoder"].contains(name) {
            try checkShapes(graph, name)
            graphs[name] = try await CoreMLGraph(graph, at: folder.verifiedGraph(graph), units: units)
        }
    }

    /// Computes once what all concepts and prompts of an image share.
    public func encode(_ image: Image) throws -> Encoded {
        try image.check()
        var tensors = ["pixels": squash(image, to: manifest.geometry.imageSize).map(Float.init)]
        for name in ["clip", "image"] where graphs[name] != nil { tensors.merge(try run(name, tensors)) { $1 } }
        tensors["pixels"] = nil
        return Encoded(self, tensors, width: image.width, height: image.height)
    }

    func run(_ name: String, _ tensors: [String: [Float]]) throws -> [String: [Float]] { try graphs[name]!.run(tensors) }

    private func checkShapes(_ graph: Manifest.Graph, _ name: String) throws {
        let g = manifest.geometry, slots = manifest.prompting.clickSlots + 3, mask = [1, 1, g.maskSize, g.maskSize]
        let expected = [
            "pixels": [1, 3, g.imageSize, g.imageSize], "clip_features": [1 + g.patchGrid * g.patchGrid, g.embedDim],
            "similarity": [1, 1, g.patchGrid, g.patchGrid], "text_row": [1] + vocabulary.rows.shape.dropFirst(),
            "points": [1, slots, 2], "labels": [1, slots], "dense_prompt": mask, "mask_logits": mask, "iou": [1, 1],
        ]
        for tensor in graph.inputs + graph.outputs {
            if let shape = expected[tensor.name], shape != tensor.shape {
                throw CGSAMError("\(tensor.name) of the graph \(name) has shape \(tensor.shape); the bundle's sizes ask for \(shape)")
            }
        }
    }
}

/// An image that was encoded once.
public final class Encoded {
    public let screened: Screened
    private let segmenter: Segmenter
    private let features: [String: [Float]]
    private let width, height: Int

    init(_ segmenter: Segmenter, _ features: [String: [Float]], width: Int, height: Int) {
        (self.segmenter, self.features, self.width, self.height) = (segmenter, features, width, height)
        let vocabulary = segmenter.vocabulary
        screened = Screened(clipFeatures: features["clip_features"]!, text: vocabulary.features.values,
                            length: segmenter.manifest.geometry.embedDim, rows: vocabulary.screening.values)
    }

    /// Segments one concept from text with clicks and a box; without either, from text alone.
    public func predict(_ concept: String, _ given: Clicks = Clicks()) throws -> ConceptResult {
        let index = try segmenter.vocabulary.index(concept), g = segmenter.manifest.geometry, p = segmenter.manifest.prompting
        try given.check(width: width, height: height, slots: p.clickSlots)
        let map = similarityMap(screened.scores[index], grid: g.patchGrid, size: g.imageSize)
        let drawn = { drawnClicks(textPoints(map, threshold: p.threshold, count: p.points), size: g.imageSize, width: self.width, height: self.height) }
        let clicks = given.isEmpty ? drawn() : given
        let slots = fillSlots(clicks, width: width, height: height, size: g.imageSize, clickSlots: p.clickSlots)
        var tensors = features
        tensors["similarity"] = screened.scores[index]
        tensors["text_row"] = row(segmenter.vocabulary.rows, index)
        tensors.merge(try segmenter.run("concept", tensors)) { $1 }
        tensors["dense_prompt"] = densePrompt(map, size: g.imageSize, maskSize: g.maskSize, threshold: p.threshold, value: p.denseValue)
        (tensors["points"], tensors["labels"]) = (slots.points, slots.labels)
        let made = try segmenter.run("decoder", tensors)
        guard let logits = made["mask_logits"], let score = made["iou"]?.first, logits.allSatisfy(\.isFinite) else {
            throw CGSAMError("Core ML returned NaN or infinity for the mask")
        }
        return result(index, logits, Double(score), clicks)
    }

    /// Segments from text alone, in the order asked; nil means all concepts. What similarity rules out is not computed.
    public func segment(_ concepts: [String]? = nil, skipAbsent: Bool = true, maxConcepts: Int? = nil) throws -> [ConceptResult] {
        var indices: [Int] = []
        for name in concepts ?? segmenter.concepts {
            let index = try segmenter.vocabulary.index(name)
            if !indices.contains(index) { indices.append(index) }
        }
        var found: [Int: ConceptResult] = [:], computed = 0
        for index in screened.likeliestFirst(indices) {
            if skipAbsent, screened.ruledOut[index] {
                found[index] = absent(index)
            } else if computed < maxConcepts ?? .max {
                computed += 1
                found[index] = try predict(segmenter.concepts[index])
            }
        }
        return indices.compactMap { found[$0] }
    }

    private func row(_ array: Array32, _ index: Int) -> [Float] {
        let length = array.shape.dropFirst().reduce(1, *)
        return Array(array.values[(index * length)..<((index + 1) * length)])
    }

    private func result(_ index: Int, _ logits: [Float], _ score: Double, _ clicks: Clicks) -> ConceptResult {
        let length = segmenter.manifest.geometry.embedDim, vocabulary = segmenter.vocabulary
        let found = evidence(logits: logits, score: score, similarity: screened.scores[index],
                             classToken: features["clip_features"]![..<length], text: row(vocabulary.features, index)[...])
        let judged = judge(found, row(vocabulary.presence, index)[...])
        return ConceptResult(
            name: segmenter.concepts[index], logits: logits, maskSize: segmenter.manifest.geometry.maskSize, width: width, height: height,
            score: score, presence: judged.presence, present: judged.present, skipped: false, evidence: found,
            similarity: screened.scores[index], clicks: clicks)
    }

    private func absent(_ index: Int) -> ConceptResult {
        let side = segmenter.manifest.geometry.maskSize
        let empty = result(index, [Float](repeating: -10, count: side * side), 0, Clicks())
        return ConceptResult(
            name: empty.name, logits: empty.logits, maskSize: side, width: width, height: height, score: 0, presence: screened.chances[index],
            present: false, skipped: true, evidence: empty.evidence, similarity: empty.similarity, clicks: Clicks())
    }
}
#endif
