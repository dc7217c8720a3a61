// swift-tools-version:5.9
import PackageDescription

var targets: [Target] = [
    .target(name: "CGSAM"),
    .executableTarget(name: "cgsam-vectors", dependencies: ["CGSAM"]),
]

#if os(Linux)
// Off a Mac the same code compiles against a stand-in for Core ML, which runs the bundle's ONNX graphs: `make test-swift`.
targets[0].dependencies = ["CoreML"]
targets += [
    .target(name: "CoreML", dependencies: ["COnnxRuntime"], path: "Stub/CoreML"),
    .target(name: "COnnxRuntime", path: "Stub/COnnxRuntime", linkerSettings: [.linkedLibrary("onnxruntime")]),
]
#endif

let package = Package(
    name: "CGSAM",
    platforms: [.iOS(.v16), .macOS(.v13)],
    products: [.library(name: "CGSAM", targets: ["CGSAM"])],
    targets: targets
)
