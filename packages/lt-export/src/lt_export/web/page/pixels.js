// From what a browser decodes, a file or a frame of the camera, to the pixels that lt_data.load_image gives.

import { ImageError, mediaType } from "./formats.js";

// lt-data looks at orientation and ignores colour profiles.
const DECODING = { imageOrientation: "from-image", premultiplyAlpha: "none", colorSpaceConversion: "none" };
const BITMAP = { premultiplyAlpha: "none", colorSpaceConversion: "none" };

const MAX_PIXELS = 178_956_970; // as in lt_data.images.formats
const MAX_SIDE = 16384; // of a canvas, in every current browser
const PIXELS_AT_ONCE = 2 ** 22; // below what phones allow for a canvas

/** An image {data, height, width, channels} of a File or Blob; throws an ImageError for what the page refuses. */
export async function readImage(file, channels) {
  const bytes = new Uint8Array(await file.arrayBuffer());
  const type = mediaType(bytes);
  const bitmap = await createImageBitmap(new Blob([bytes], { type }), DECODING).catch(() => {
    throw new ImageError("The browser cannot decode this file; it may be damaged.");
  });
  try {
    return await readPixels(bitmap, bitmap.width, bitmap.height, channels);
  } finally {
    bitmap.close();
  }
}

/** The same of an ImageBitmap or a playing video. */
export async function readPixels(source, width, height, channels) {
  if (width * height > MAX_PIXELS) throw new ImageError(`${width} × ${height} pixels are above ${MAX_PIXELS}.`);
  if (width > MAX_SIDE) throw new ImageError(`A width of ${width} pixels is above ${MAX_SIDE}.`);
  const data = new Uint8Array(width * height * channels);
  const rowsAtOnce = Math.max(1, Math.floor(PIXELS_AT_ONCE / width));
  const read = channels === 4 ? transparentReader() : overWhiteReader(width, Math.min(height, rowsAtOnce));
  for (let top = 0; top < height; top += rowsAtOnce) {
    const rows = Math.min(rowsAtOnce, height - top);
    data.set(fromRgba(await read(source, top, width, rows), channels), top * width * channels);
  }
  return { data, height, width, channels };
}

/** Grey (ITU-R 601-2 luma in 16-bit fixed point, as Pillow has it), RGB or RGBA of RGBA pixels. */
export function fromRgba(rgba, channels) {
  if (channels === 4) return rgba;
  const count = rgba.length / 4;
  const result = new Uint8Array(count * channels);
  for (let i = 0; i < count; i++) {
    const [red, green, blue] = [rgba[4 * i], rgba[4 * i + 1], rgba[4 * i + 2]];
    if (channels === 1) {
      result[i] = (red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16;
    } else {
      result[3 * i] = red;
      result[3 * i + 1] = green;
      result[3 * i + 2] = blue;
    }
  }
  return result;
}

/** Lays transparent parts over white. */
function overWhiteReader(width, height) {
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  // Kept in main memory: graphics processors may round when they blend.
  const context = canvas.getContext("2d", { willReadFrequently: true, colorSpace: "srgb" });
  checkReading(context);
  context.fillStyle = "#ffffff";
  return (source, top, columns, rows) => {
    context.fillRect(0, 0, columns, rows);
    context.drawImage(source, 0, top, columns, rows, 0, 0, columns, rows);
    return context.getImageData(0, 0, columns, rows).data;
  };
}

/** Some browsers change what pages read from a canvas, against tracking; scores of such pixels would be wrong. */
function checkReading(context) {
  const side = Math.min(16, context.canvas.width, context.canvas.height);
  for (let i = 0; i < side; i++) {
    context.fillStyle = `rgb(${i * 16} ${255 - i * 16} ${i})`;
    context.fillRect(i, 0, 1, side);
  }
  const { data } = context.getImageData(0, 0, side, side);
  for (let i = 0; i < side * side; i++) {
    const column = i % side;
    if (data[4 * i] !== column * 16 || data[4 * i + 1] !== 255 - column * 16 || data[4 * i + 2] !== column) {
      throw new ImageError("This browser alters the pixels that pages read; allow this page to read canvas data.");
    }
  }
}

/** Keeps alpha. A 2D canvas would multiply the colours with it and lose them; a texture keeps them. */
function transparentReader() {
  const gl = document.createElement("canvas").getContext("webgl2");
  if (!gl) throw new ImageError("Models of four channels need WebGL 2, which this browser does not give.");
  gl.pixelStorei(gl.UNPACK_COLORSPACE_CONVERSION_WEBGL, gl.NONE);
  gl.bindFramebuffer(gl.FRAMEBUFFER, gl.createFramebuffer());
  return async (source, top, columns, rows) => {
    if (Math.max(columns, rows) > gl.getParameter(gl.MAX_TEXTURE_SIZE)) {
      throw new ImageError(`A side of ${Math.max(columns, rows)} pixels is above what this browser's WebGL takes.`);
    }
    const part = await createImageBitmap(source, 0, top, columns, rows, BITMAP);
    const texture = gl.createTexture();
    gl.bindTexture(gl.TEXTURE_2D, texture);
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, gl.RGBA, gl.UNSIGNED_BYTE, part);
    gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D, texture, 0);
    const pixels = new Uint8Array(columns * rows * 4);
    gl.readPixels(0, 0, columns, rows, gl.RGBA, gl.UNSIGNED_BYTE, pixels);
    gl.deleteTexture(texture);
    part.close();
    return pixels;
  };
}
