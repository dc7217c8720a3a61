#if canImport(CoreML)
import CoreML
import Foundation

/// A graph on Core ML. Where and how it runs is Core ML's choice, within `units`.
final class CoreMLGraph {
    private let graph: Manifest.Graph
    private let model: MLModel

    init(_ graph: Manifest.Graph, at url: URL, units: MLComputeUnits) async throws {
        let configuration = MLModelConfiguration()
        configuration.computeUnits = units
        self.graph = graph
        do {  // an app would keep what compileModel returns: it is the slow part
            let compiled = try await MLModel.compileModel(at: url)
            model = try MLModel(contentsOf: compiled, configuration: configuration)
        } catch {
            throw CGSAMError("\(url.path): Core ML cannot open the graph (\(error))")
        }
    }

    /// Feeds the inputs that the manifest lists, in their shapes, and returns all outputs in row order.
    func run(_ tensors: [String: [Float]]) throws -> [String: [Float]] {
        var inputs: [String: MLFeatureValue] = [:]
        for input in graph.inputs {
            guard let values = tensors[input.name], values.count == input.shape.reduce(1, *) else {
                throw CGSAMError("\(graph.path): nothing makes the input \(input.name) in its size")
            }
            inputs[input.name] = MLFeatureValue(multiArray: MLMultiArray(MLShapedArray<Float>(scalars: values, shape: input.shape)))
        }
        let made: MLFeatureProvider
        do {
            made = try model.prediction(from: MLDictionaryFeatureProvider(dictionary: inputs))
        } catch {
            throw CGSAMError("\(graph.path): Core ML failed in the graph (\(error))")
        }
        var outputs: [String: [Float]] = [:]
        for output in graph.outputs {
            guard let array = made.featureValue(for: output.name)?.multiArrayValue else {
                throw CGSAMError("\(graph.path) did not make \(output.name)")
            }
            outputs[output.name] = MLShapedArray<Float>(array).scalars
        }
        return outputs
    }
}
#endif
