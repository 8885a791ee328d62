// Which files the page takes. Content decides, not the name; what a browser would decode differently from lt-data, or
// not at all, is refused with the reason.

/** An image that the page does not take; the message is for the user. */
export class ImageError extends Error {}

const KINDS = "JPEG, PNG, WebP and BMP";
const ELSEWHERE = "This page cannot read it exactly; use lt_export.load(…).predict in Python.";

const READERS = [
  { name: "JPEG", type: "image/jpeg", magic: [[0, [0xff, 0xd8, 0xff]]], check: checkJpeg },
  { name: "PNG", type: "image/png", magic: [[0, [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]]], check: checkPng },
  { name: "WebP", type: "image/webp", magic: [[0, ascii("RIFF")], [8, ascii("WEBP")]], check: checkWebp },
  { name: "BMP", type: "image/bmp", magic: [[0, ascii("BM")]], check: checkBmp },
];

const REFUSED = [
  { name: "TIFF", magic: [[0, [0x49, 0x49, 0x2a, 0]]] },
  { name: "TIFF", magic: [[0, [0x4d, 0x4d, 0, 0x2a]]] },
  { name: "BigTIFF", magic: [[0, [0x49, 0x49, 0x2b, 0]]] },
  { name: "BigTIFF", magic: [[0, [0x4d, 0x4d, 0, 0x2b]]] },
  { name: "DICOM", magic: [[128, ascii("DICM")]] },
  ...["2", "3", "5", "6"].map((digit) => ({ name: "PGM or PPM", magic: [[0, ascii(`P${digit}`)]] })),
];

/** The media type of a file's content, a Uint8Array; throws an ImageError for what is refused. */
export function mediaType(bytes) {
  if (!bytes.length) throw new ImageError("The file is empty.");
  const reader = READERS.find(({ magic }) => matches(bytes, magic));
  if (reader) {
    reader.check(bytes);
    return reader.type;
  }
  const refused = REFUSED.find(({ magic }) => matches(bytes, magic));
  if (refused) throw new ImageError(`The file is ${refused.name}. ${ELSEWHERE}`);
  throw new ImageError(`The file is none of the image formats ${KINDS}.`);
}

function matches(bytes, magic) {
  return magic.every(([place, values]) => values.every((value, i) => bytes[place + i] === value));
}

/** Segments of ISO/IEC 10918-1 annex B: the number of components, and the end of the image. */
function checkJpeg(bytes) {
  const view = viewOf(bytes);
  let place = 2;
  while (place + 4 <= bytes.length) {
    const marker = bytes[place + 1];
    if (bytes[place] !== 0xff) throw new ImageError("The JPEG file is damaged.");
    if (marker === 0xff) {
      place += 1;
      continue;
    }
    const isFrame = marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker);
    if (isFrame && bytes[place + 9] === 4) throw new ImageError(`The file is JPEG in CMYK. ${ELSEWHERE}`);
    if (marker === 0xda) {
      if (!contains(bytes, [0xff, 0xd9], place)) throw truncated("JPEG");
      return;
    }
    place += 2 + view.getUint16(place + 2);
  }
  throw truncated("JPEG");
}

/** Chunks of the PNG specification, section 5: the bit depth, and the last chunk. */
function checkPng(bytes) {
  const view = viewOf(bytes);
  if (bytes[24] === 16) throw new ImageError(`The file is PNG of 16 bits. ${ELSEWHERE}`);
  let place = 8;
  while (place + 12 <= bytes.length) {
    if (matches(bytes, [[place + 4, ascii("IEND")]])) return;
    place += 12 + view.getUint32(place);
  }
  throw truncated("PNG");
}

/** The RIFF header has the length of what follows it. */
function checkWebp(bytes) {
  if (bytes.length < 12 || 8 + viewOf(bytes).getUint32(4, true) > bytes.length) throw truncated("WebP");
}

/** Of BMP only what every reader takes alike: uncompressed, up to 8 bits with a palette, or 24 bits. */
function checkBmp(bytes) {
  if (bytes.length < 54) throw truncated("BMP");
  const view = viewOf(bytes);
  const [offset, header, bits, compression] = [10, 14, 28, 30].map((place) => view.getUint32(place, true));
  const depth = bits & 0xffff;
  if (header < 40 || compression !== 0 || ![1, 4, 8, 24].includes(depth)) {
    throw new ImageError(`The file is BMP of an unusual kind. ${ELSEWHERE}`);
  }
  const [width, height] = [view.getInt32(18, true), Math.abs(view.getInt32(22, true))];
  const rowBytes = Math.ceil((width * depth) / 32) * 4;
  if (offset + rowBytes * height > bytes.length) throw truncated("BMP");
}

function truncated(name) {
  return new ImageError(`The ${name} file is truncated.`);
}

function contains(bytes, values, from) {
  for (let place = bytes.indexOf(values[0], from); place >= 0; place = bytes.indexOf(values[0], place + 1)) {
    if (matches(bytes, [[place, values]])) return true;
  }
  return false;
}

function viewOf(bytes) {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function ascii(text) {
  return Array.from(text, (letter) => letter.charCodeAt(0));
}
