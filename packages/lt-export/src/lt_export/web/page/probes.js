// The images of lt_export.probes, from integers alone: every machine and language makes them alike.

/** Image `number`, from 0, for a model's preprocessing. */
export function probeImage(spec, number) {
  const quarters = [7, 5, 4, 3][number % 4];
  const [height, width] = spec.image_size.map((side) => Math.max(2, Math.floor((side * quarters) / 4) + (number % 3)));
  const channels = spec.num_channels;
  const length = Math.max(height, width);
  const data = new Uint8Array(height * width * channels);
  const top = Math.floor(height / ((number % 3) + 3));
  const left = Math.floor(width / ((number % 4) + 2));
  const [bottom, right] = [top + Math.floor(height / 3), left + Math.floor(width / 3)];
  for (let y = 0, i = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const inverted = y >= top && y < bottom && x >= left && x < right;
      for (let band = 0; band < channels; band++, i++) {
        const slopeDown = (number % 5) + band + 1;
        const slopeRight = ((number * 3 + band * 2) % 7) - 3;
        const value = triangle(y * slopeDown + x * slopeRight, length);
        data[i] = inverted ? 255 - value : value;
      }
    }
  }
  return { data, height, width, channels };
}

/** 0 to 255 and back to 0 every 2 × length pixels. */
function triangle(place, length) {
  const period = 2 * length;
  const within = ((place % period) + period) % period;
  return Math.floor((Math.abs(within - length) * 255) / length);
}
