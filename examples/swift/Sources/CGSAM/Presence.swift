import Foundation

private func product(_ a: ArraySlice<Float>, _ b: ArraySlice<Float>) -> Double {
    zip(a, b).reduce(0) { $0 + Double($1.0) * Double($1.1) }
}

private func logistic(_ value: Double) -> Double { 1 / (1 + exp(-min(30, max(-30, value)))) }

/// The seven numbers that presence is judged by.
public func evidence(
    logits: [Float], score: Double, similarity: [Float], classToken: ArraySlice<Float>, text: ArraySlice<Float>
) -> [Float] {
    let inside = logits.filter { $0 > 0 }
    let sure = logits.reduce(0) { $0 + ($1 > 1 ? 1 : 0) }, likely = logits.reduce(0) { $0 + ($1 > -1 ? 1 : 0) }
    let confidence = inside.reduce(0.0) { $0 + 1 / (1 + exp(-Double($1))) }
    let peak = Double(similarity.max()!), mean = similarity.reduce(0.0) { $0 + Double($1) } / Double(similarity.count)
    let values = [
        min(1, max(0, score)), Double(sure) / Double(max(1, likely)), inside.isEmpty ? 0.5 : confidence / Double(inside.count),
        (Double(inside.count) / Double(logits.count)).squareRoot(), peak, peak - mean,
        product(classToken, text) / max(product(classToken, classToken).squareRoot(), 1e-12),
    ]
    return values.map(Float.init)
}

/// Judge by seven weights, a bias and a threshold; without them the score is the first number and the concept counts as present.
public func judge(_ evidence: [Float], _ row: ArraySlice<Float>) -> (presence: Double, present: Bool) {
    guard row.allSatisfy(\.isFinite) else { return (Double(evidence[0]), true) }
    let weights = row.prefix(evidence.count)
    let score = logistic(product(evidence[...], weights) + Double(row[row.startIndex + 7]))
    return (score, score >= Double(row[row.startIndex + 8]))
}

/// What similarity alone says about all concepts.
public struct Screened {
    public let scores: [[Float]]
    public let peaks: [Float]
    public let chances: [Double]
    public let ruledOut: [Bool]

    public init(clipFeatures: [Float], text: [Float], length: Int, rows: [Float]) {
        let token = clipFeatures[..<length], norm = max(product(token, token).squareRoot(), 1e-12)
        let texts = stride(from: 0, to: text.count, by: length).map { text[$0..<($0 + length)] }
        scores = texts.map { t in
            stride(from: length, to: clipFeatures.count, by: length).map { Float(product(clipFeatures[$0..<($0 + length)], t)) }
        }
        peaks = scores.map { $0.max()! }
        var chances: [Double] = []
        for (n, t) in texts.enumerated() {
            let row = rows[(4 * n)..<(4 * n + 4)].map(Double.init)
            let sum = Double(peaks[n]) * row[0] + Double(Float(product(token, t) / norm)) * row[1] + row[2]
            chances.append(sum.isNaN ? .nan : logistic(sum))
        }
        self.chances = chances
        ruledOut = chances.enumerated().map { $0.element < Double(rows[4 * $0.offset + 3]) }
    }

    /// By chance, or by the peak where a concept is not calibrated.
    public func likeliestFirst(_ indices: [Int]) -> [Int] {
        let calibrated = !indices.contains { chances[$0].isNaN }
        let keys = indices.map { calibrated ? chances[$0] : Double(peaks[$0]) }
        return indices.indices.sorted { keys[$0] != keys[$1] ? keys[$0] > keys[$1] : $0 < $1 }.map { indices[$0] }
    }
}
