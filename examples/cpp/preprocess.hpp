// From 8-bit pixels to the model's input, with the pixels and roundings of lt_data.preprocessing (Pillow's resize).
// Build without contraction of floating-point operations, as CMakeLists.txt does.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "image.hpp"
#include "task_spec.hpp"

// What one pixel of a resized line is made of: pixels of the source from `first` on, and their shares in 1 / 2^22.
struct Taps {
  int first = 0;
  std::vector<std::int32_t> weights;
};

constexpr int fraction_bits = 22;

inline double bilinear(double x) { return std::max(0.0, 1.0 - std::abs(x)); }

// Cubic convolution with a = -0.5.
inline double bicubic(double x) {
  x = std::abs(x);
  if (x < 1.0) return (1.5 * x - 2.5) * x * x + 1.0;
  if (x < 2.0) return ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0;
  return 0.0;
}

// Antialiasing: when a line shrinks, the filter is widened by the scale, so that every source pixel counts.
inline std::vector<Taps> resize_taps(int from, int to, const std::string& interpolation) {
  const bool cubic = interpolation == "bicubic";
  const double scale = static_cast<double>(from) / to, widening = std::max(scale, 1.0);
  const double support = (cubic ? 2.0 : 1.0) * widening;
  std::vector<Taps> line;
  for (int i = 0; i < to; ++i) {
    const double center = (i + 0.5) * scale;
    const int first = std::max(0, static_cast<int>(center - support + 0.5));
    const int end = std::min(from, static_cast<int>(center + support + 0.5));
    std::vector<double> shares;
    double sum = 0.0;
    for (int pixel = first; pixel < end; ++pixel) {
      const double distance = (pixel - center + 0.5) * (1.0 / widening);
      shares.push_back(cubic ? bicubic(distance) : bilinear(distance));
      sum += shares.back();
    }
    Taps taps{first, {}};
    for (const double share : shares)
      taps.weights.push_back(static_cast<std::int32_t>(std::round(share / sum * (1 << fraction_bits))));
    line.push_back(std::move(taps));
  }
  return line;
}

// One axis; values are rounded and clipped to 8 bits.
inline Image resize_axis(const Image& image, bool horizontal, int to, const std::string& interpolation) {
  Image result(horizontal ? image.height : to, horizontal ? to : image.width, image.channels);
  const std::vector<Taps> line = resize_taps(horizontal ? image.width : image.height, to, interpolation);
  const std::size_t step = image.channels * (horizontal ? std::size_t(1) : std::size_t(image.width));
  for (int row = 0; row < result.height; ++row)
    for (int column = 0; column < result.width; ++column) {
      const Taps& taps = line[horizontal ? column : row];
      const std::size_t start = horizontal ? image.place(row, taps.first) : image.place(taps.first, column);
      for (int channel = 0; channel < image.channels; ++channel) {
        const std::uint8_t* pixel = &image.pixels[start + channel];
        std::int32_t sum = 1 << (fraction_bits - 1);
        for (std::size_t i = 0; i < taps.weights.size(); ++i) sum += pixel[i * step] * taps.weights[i];
        result.pixels[result.place(row, column) + channel] =
            static_cast<std::uint8_t>(std::clamp(sum >> fraction_bits, 0, 255));
      }
    }
  return result;
}

inline Image resize(const Image& image, int height, int width, const std::string& interpolation) {
  return resize_axis(resize_axis(image, true, width, interpolation), false, height, interpolation);
}

inline int rounded(double value) { return static_cast<int>(std::floor(value + 0.5)); }

// The centred part that the model sees, in whole pixels.
inline Image center_crop(const Image& image, const Preprocessing& spec) {
  const double fit =
      std::min(static_cast<double>(image.height) / spec.height, static_cast<double>(image.width) / spec.width);
  const double scale = fit / spec.resize_scale;
  const int height = std::min(image.height, std::max(1, rounded(spec.height * scale)));
  const int width = std::min(image.width, std::max(1, rounded(spec.width * scale)));
  const int top = (image.height - height) / 2, left = (image.width - width) / 2;
  Image part(height, width, image.channels);
  for (int row = 0; row < height; ++row)
    std::copy_n(&image.pixels[image.place(top + row, left)], std::size_t(1) * width * image.channels,
                &part.pixels[part.place(row, 0)]);
  return part;
}

// The whole image in the middle of a border of the mean colour.
inline Image letterbox(const Image& image, const Preprocessing& spec) {
  const double scale =
      std::min(static_cast<double>(spec.height) / image.height, static_cast<double>(spec.width) / image.width);
  const Image inner = resize(image, std::max(1, rounded(image.height * scale)),
                             std::max(1, rounded(image.width * scale)), spec.interpolation);
  Image canvas(spec.height, spec.width, image.channels);
  for (std::size_t i = 0; i < canvas.pixels.size(); ++i)
    canvas.pixels[i] = static_cast<std::uint8_t>(std::clamp(rounded(spec.mean[i % image.channels] * 255.0), 0, 255));
  const int top = (spec.height - inner.height) / 2, left = (spec.width - inner.width) / 2;
  for (int row = 0; row < inner.height; ++row)
    std::copy_n(&inner.pixels[inner.place(row, 0)], std::size_t(1) * inner.width * inner.channels,
                &canvas.pixels[canvas.place(top + row, left)]);
  return canvas;
}

// The model's input, (channels, height, width); `image` has the model's channels.
inline std::vector<float> preprocess(const Image& image, const Preprocessing& spec) {
  const Image fitted = spec.resize_mode == "letterbox"
                           ? letterbox(image, spec)
                           : resize(spec.resize_mode == "crop" ? center_crop(image, spec) : image, spec.height,
                                    spec.width, spec.interpolation);
  const std::size_t plane = std::size_t(1) * spec.height * spec.width;
  std::vector<float> input(plane * spec.channels);
  for (int channel = 0; channel < spec.channels; ++channel) {
    const float scale = static_cast<float>(1.0 / (255.0 * spec.std[channel]));
    const float offset = static_cast<float>(-spec.mean[channel] / spec.std[channel]);
    for (std::size_t i = 0; i < plane; ++i)
      input[channel * plane + i] = fitted.pixels[i * spec.channels + channel] * scale + offset;
  }
  return input;
}
