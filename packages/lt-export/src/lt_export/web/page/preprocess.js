// Evaluation preprocessing, to the bit that of lt_data.preprocessing: crop or border, antialiased resize,
// normalisation. Nothing of the browser is used, so that the tests run this file outside of one.
//
// An image is {data, height, width, channels}: data is a Uint8Array, row by row, channels last.

// Resampling is in fixed point, as in Pillow, whose 8-bit results depend on it: weights have 22 bits after the point,
// which leaves 8 bits for the pixel and 2 for the overshoot of the bicubic filter.
const FRACTION_BITS = 32 - 8 - 2;
const HALF = 1 << (FRACTION_BITS - 1);

const FILTERS = {
  bilinear: { radius: 1, weight: triangle },
  bicubic: { radius: 2, weight: cubic },
};

/** The model's input: Float32Array of (channels, height, width) with height and width of spec.image_size. */
export function preprocess(image, spec) {
  return normalize(fitSize(image, spec), spec);
}

/** Brings an image to spec.image_size in the way of spec.resize_mode. */
export function fitSize(image, spec) {
  const { height, width } = image;
  if (spec.resize_mode === "letterbox") return letterbox(image, spec);
  const whole = { top: 0, left: 0, height, width };
  const box = spec.resize_mode === "squash" ? whole : centerBox(height, width, spec);
  return resize(crop(image, box), spec.image_size, spec.interpolation);
}

/** The centred part of an image that the model sees, in whole pixels of the source. */
export function centerBox(height, width, spec) {
  const [targetHeight, targetWidth] = spec.image_size;
  const scale = Math.min(height / targetHeight, width / targetWidth) / spec.resize_scale;
  const boxHeight = Math.min(height, Math.max(1, Math.floor(targetHeight * scale + 0.5)));
  const boxWidth = Math.min(width, Math.max(1, Math.floor(targetWidth * scale + 0.5)));
  return {
    top: Math.floor((height - boxHeight) / 2),
    left: Math.floor((width - boxWidth) / 2),
    height: boxHeight,
    width: boxWidth,
  };
}

/** (x / 255 - mean) / std by channel, in float32 from the first product on. */
export function normalize(image, spec) {
  const { data, channels } = image;
  const pixels = image.height * image.width;
  const result = new Float32Array(channels * pixels);
  for (let channel = 0; channel < channels; channel++) {
    const values = normalized(spec.mean[channel], spec.std[channel]);
    for (let i = 0; i < pixels; i++) result[channel * pixels + i] = values[data[i * channels + channel]];
  }
  return result;
}

/** What each of the 256 values of a channel becomes. */
function normalized(mean, std) {
  const scale = Math.fround(1 / (255 * std));
  const offset = Math.fround(-mean / std);
  return Float32Array.from({ length: 256 }, (_, value) => Math.fround(value * scale) + offset);
}

/** The whole image in the middle of a border whose colour is nearest to zero after normalisation. */
function letterbox(image, spec) {
  const { height, width, channels } = image;
  const [targetHeight, targetWidth] = spec.image_size;
  const scale = Math.min(targetHeight / height, targetWidth / width);
  const inner = [Math.max(1, Math.floor(height * scale + 0.5)), Math.max(1, Math.floor(width * scale + 0.5))];
  const color = spec.mean.map((mean) => Math.min(255, Math.max(0, Math.floor(mean * 255 + 0.5))));
  const data = new Uint8Array(targetHeight * targetWidth * channels);
  for (let i = 0; i < data.length; i++) data[i] = color[i % channels];
  const resized = resize(image, inner, spec.interpolation);
  const top = Math.floor((targetHeight - inner[0]) / 2);
  const left = Math.floor((targetWidth - inner[1]) / 2);
  const rowBytes = inner[1] * channels;
  for (let y = 0; y < inner[0]; y++) {
    const row = resized.data.subarray(y * rowBytes, (y + 1) * rowBytes);
    data.set(row, ((top + y) * targetWidth + left) * channels);
  }
  return { data, height: targetHeight, width: targetWidth, channels };
}

function crop(image, box) {
  const { data, height, width, channels } = image;
  if (box.height === height && box.width === width) return image;
  const rowBytes = box.width * channels;
  const result = new Uint8Array(box.height * rowBytes);
  for (let y = 0; y < box.height; y++) {
    const start = ((box.top + y) * width + box.left) * channels;
    result.set(data.subarray(start, start + rowBytes), y * rowBytes);
  }
  return { data: result, height: box.height, width: box.width, channels };
}

/** Resizes with antialiasing: along the rows first, then along the columns, 8 bits in between. */
export function resize(image, [height, width], interpolation) {
  const filter = FILTERS[interpolation];
  return resizeColumns(resizeRows(image, width, filter), height, filter);
}

function resizeRows(image, width, filter) {
  if (image.width === width) return image;
  const { data, height, channels } = image;
  const taps = filterTaps(image.width, width, filter);
  const result = new Uint8Array(height * width * channels);
  let out = 0;
  for (let y = 0; y < height; y++) {
    for (const { first, weights } of taps) {
      const start = (y * image.width + first) * channels;
      for (let channel = 0; channel < channels; channel++) {
        result[out++] = weightedSum(data, start + channel, channels, weights);
      }
    }
  }
  return { data: result, height, width, channels };
}

function resizeColumns(image, height, filter) {
  if (image.height === height) return image;
  const { data, width, channels } = image;
  const rowBytes = width * channels;
  const result = new Uint8Array(height * rowBytes);
  let out = 0;
  for (const { first, weights } of filterTaps(image.height, height, filter)) {
    for (let i = 0; i < rowBytes; i++) result[out++] = weightedSum(data, first * rowBytes + i, rowBytes, weights);
  }
  return { data: result, height, width, channels };
}

/** Rounded to the nearest value, clipped to 8 bits. */
function weightedSum(data, start, stride, weights) {
  let sum = HALF;
  for (let i = 0, place = start; i < weights.length; i++, place += stride) sum += data[place] * weights[i];
  const value = sum >> FRACTION_BITS;
  return value < 0 ? 0 : value > 255 ? 255 : value;
}

/** For each pixel of the result: the first source pixel that counts, and the weights from there on. */
function filterTaps(sourceSize, size, filter) {
  const scale = sourceSize / size;
  // When shrinking, the filter is as wide as the pixels of the result: that is the antialiasing.
  const stretch = Math.max(scale, 1);
  const radius = filter.radius * stretch;
  return Array.from({ length: size }, (_, i) => {
    const center = (i + 0.5) * scale;
    const first = Math.max(0, Math.trunc(center - radius + 0.5));
    const end = Math.min(sourceSize, Math.trunc(center + radius + 0.5));
    const weights = Float64Array.from({ length: end - first }, (_, k) =>
      filter.weight((first + k - center + 0.5) * (1 / stretch)),
    );
    const sum = weights.reduce((total, weight) => total + weight, 0);
    return { first, weights: Int32Array.from(weights, (weight) => fixedPoint(weight / sum)) };
  });
}

/** To the nearest, halves away from zero. */
function fixedPoint(weight) {
  return Math.trunc(weight * (1 << FRACTION_BITS) + (weight < 0 ? -0.5 : 0.5));
}

function triangle(x) {
  return Math.max(0, 1 - Math.abs(x));
}

/** Cubic convolution (Keys 1981) with a = -0.5. */
function cubic(x) {
  const a = -0.5;
  const t = Math.abs(x);
  if (t < 1) return ((a + 2) * t - (a + 3)) * t * t + 1;
  if (t < 2) return (((t - 5) * t + 8) * t - 4) * a;
  return 0;
}
