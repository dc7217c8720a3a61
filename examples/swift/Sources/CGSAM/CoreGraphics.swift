#if canImport(CoreGraphics)
import CoreGraphics

extension Image {
    /// Draws an image as sRGB. It is taken as it lies: turn it by its EXIF orientation afterwards, with `upright`.
    public init(_ image: CGImage) throws {
        let width = image.width, height = image.height
        var rgba = [UInt8](repeating: 255, count: 4 * width * height)
        let drawn = rgba.withUnsafeMutableBytes { memory -> Bool in
            guard let context = CGContext(
                data: memory.baseAddress, width: width, height: height, bitsPerComponent: 8, bytesPerRow: 4 * width,
                space: CGColorSpace(name: CGColorSpace.sRGB)!, bitmapInfo: CGImageAlphaInfo.noneSkipLast.rawValue
            ) else { return false }
            context.draw(image, in: CGRect(x: 0, y: 0, width: width, height: height))
            return true
        }
        guard drawn else { throw CGSAMError("the image cannot be drawn") }
        var rgb = [UInt8](repeating: 0, count: 3 * width * height)
        for i in 0..<(width * height) { for c in 0..<3 { rgb[3 * i + c] = rgba[4 * i + c] } }
        self.init(width: width, height: height, rgb: rgb)
    }
}
#endif
