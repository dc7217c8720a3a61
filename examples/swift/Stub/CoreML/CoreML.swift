// A stand-in for what the package uses of Core ML, so that its code compiles and runs off a Mac. Instead of a package it opens the
// ONNX graph of the same name beside it. It says nothing about Apple's compiler, devices or speed.
import COnnxRuntime
import Foundation

public enum MLComputeUnits { case all, cpuOnly }

public final class MLModelConfiguration {
    public var computeUnits = MLComputeUnits.all
    public init() {}
}

public struct MLShapedArray<Scalar> {
    public let scalars: [Scalar]
    public let shape: [Int]
    public init(scalars: [Scalar], shape: [Int]) { (self.scalars, self.shape) = (scalars, shape) }
    public init(_ array: MLMultiArray) { (scalars, shape) = (array.scalars as! [Scalar], array.shape) }
}

public final class MLMultiArray {
    let scalars: [Float]
    let shape: [Int]
    public init(_ array: MLShapedArray<Float>) { (scalars, shape) = (array.scalars, array.shape) }
}

public final class MLFeatureValue {
    public let multiArrayValue: MLMultiArray?
    public init(multiArray: MLMultiArray) { multiArrayValue = multiArray }
}

public protocol MLFeatureProvider { func featureValue(for name: String) -> MLFeatureValue? }

public final class MLDictionaryFeatureProvider: MLFeatureProvider {
    let values: [String: MLFeatureValue]
    public init(dictionary: [String: MLFeatureValue]) throws { values = dictionary }
    public func featureValue(for name: String) -> MLFeatureValue? { values[name] }
}

public struct StubError: Error, CustomStringConvertible { public let description: String }

public final class MLModel {
    private let session: OpaquePointer

    public static func compileModel(at url: URL) async throws -> URL {
        let model = try Data(contentsOf: url.appendingPathComponent("Data/com.apple.CoreML/model.mlmodel"))
        guard model.first == 0x08 else { throw StubError(description: "a model begins with the version of its specification") }
        let name = url.deletingPathExtension().lastPathComponent + ".onnx"
        return url.deletingLastPathComponent().deletingLastPathComponent().appendingPathComponent("onnxruntime/" + name)
    }

    public init(contentsOf url: URL, configuration: MLModelConfiguration) throws {
        guard let session = stub_open(url.path) else { throw StubError(description: String(cString: stub_error())) }
        self.session = session
    }

    deinit { stub_close(session) }

    public func prediction(from inputs: MLDictionaryFeatureProvider) throws -> MLFeatureProvider {
        for (name, value) in inputs.values {
            let array = value.multiArrayValue!
            guard stub_feed(session, name, array.scalars, array.shape.map(Int64.init), array.shape.count) else {
                throw StubError(description: String(cString: stub_error()))
            }
        }
        guard stub_run(session) else { throw StubError(description: String(cString: stub_error())) }
        var made: [String: MLFeatureValue] = [:]
        for i in 0..<stub_outputs(session) {
            let count = stub_count(session, i)
            let values = Array(UnsafeBufferPointer(start: stub_values(session, i), count: count))
            made[String(cString: stub_name(session, i))] = MLFeatureValue(multiArray: MLMultiArray(MLShapedArray(scalars: values, shape: [count])))
        }
        return try MLDictionaryFeatureProvider(dictionary: made)
    }
}
