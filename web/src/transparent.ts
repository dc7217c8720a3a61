/**
 * Pixels of an image with transparency. A two-dimensional canvas stores colours multiplied by alpha and loses what lies
 * under transparent pixels, which Pillow keeps; WebGL hands the decoded values on unchanged.
 */

import { ImageError } from "./errors.js";
import type { Picture } from "./pillow.js";

/**
 * Returns the pixels of a decoded image, colours not multiplied by alpha.
 *
 * @throws ImageError the browser offers no WebGL, or the image is larger than its textures.
 */
export function readWithAlpha(bitmap: ImageBitmap): Picture {
  const { width, height } = bitmap;
  const gl = new OffscreenCanvas(1, 1).getContext("webgl2", { premultipliedAlpha: false });
  if (gl === null || Math.max(width, height) > (gl.getParameter(gl.MAX_TEXTURE_SIZE) as number)) {
    throw new ImageError(
      "the image has transparent pixels, whose colours this browser cannot read. Save it without transparency.",
    );
  }
  upload(gl, bitmap);
  const data = new Uint8Array(4 * width * height);
  gl.readPixels(0, 0, width, height, gl.RGBA, gl.UNSIGNED_BYTE, data);
  gl.getExtension("WEBGL_lose_context")?.loseContext(); // browsers give only a few contexts
  return { width, height, data };
}

function upload(gl: WebGL2RenderingContext, bitmap: ImageBitmap): void {
  gl.pixelStorei(gl.UNPACK_PREMULTIPLY_ALPHA_WEBGL, false);
  gl.pixelStorei(gl.UNPACK_COLORSPACE_CONVERSION_WEBGL, gl.NONE);
  gl.bindTexture(gl.TEXTURE_2D, gl.createTexture());
  gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA8, gl.RGBA, gl.UNSIGNED_BYTE, bitmap);
  gl.bindFramebuffer(gl.FRAMEBUFFER, gl.createFramebuffer());
  const texture = gl.getParameter(gl.TEXTURE_BINDING_2D) as WebGLTexture;
  gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D, texture, 0);
}
