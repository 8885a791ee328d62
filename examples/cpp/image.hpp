// From a file to 8-bit pixels: PPM and PGM, and PNG and JPEG where CMake found their libraries.
#pragma once

#include <cctype>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <vector>

#ifdef WITH_PNG
#include <png.h>
#endif
#ifdef WITH_JPEG
#include <jpeglib.h>
#endif

struct Image {
  int height = 0;
  int width = 0;
  int channels = 0;
  std::vector<std::uint8_t> pixels;  // (height, width, channels)

  Image(int height, int width, int channels)
      : height(height), width(width), channels(channels), pixels(std::size_t(1) * height * width * channels) {}

  std::size_t place(int row, int column) const { return (std::size_t(1) * row * width + column) * channels; }
};

constexpr long long max_pixels = 178956970;  // Pillow's limit

inline void check_size(long long height, long long width) {
  if (height < 1 || width < 1 || height > max_pixels / width) throw std::runtime_error("has no size that can be read");
}

// A number of a PNM header, after white space and comments.
inline int pnm_number(const std::string& file, std::size_t& place) {
  while (place < file.size() && (std::isspace(static_cast<unsigned char>(file[place])) || file[place] == '#'))
    place = file[place] == '#' ? file.find_first_of("\r\n", place) : place + 1;
  long long value = -1;
  for (; place < file.size() && file[place] >= '0' && file[place] <= '9' && value <= max_pixels; ++place)
    value = (value < 0 ? 0 : value * 10) + (file[place] - '0');
  if (value < 0 || value > max_pixels) throw std::runtime_error("has a damaged header");
  return static_cast<int>(value);
}

inline Image read_pnm(const std::string& file) {
  std::size_t place = 2;
  const int width = pnm_number(file, place), height = pnm_number(file, place);
  if (pnm_number(file, place) != 255) throw std::runtime_error("does not have 8 bits a sample");
  check_size(height, width);
  ++place;  // one white space
  Image image(height, width, file[1] == '6' ? 3 : 1);
  if (file.size() < place || file.size() - place < image.pixels.size()) throw std::runtime_error("is truncated");
  image.pixels.assign(file.begin() + place, file.begin() + place + image.pixels.size());
  return image;
}

#ifdef WITH_PNG
struct PngReader {
  const std::string& file;
  std::size_t place = 0;
  png_structp png = nullptr;
  png_infop info = nullptr;

  explicit PngReader(const std::string& file) : file(file) {
    png = png_create_read_struct(
        PNG_LIBPNG_VER_STRING, nullptr, [](png_structp, png_const_charp what) { throw std::runtime_error(what); },
        [](png_structp, png_const_charp) {});
    info = png_create_info_struct(png);
    png_set_read_fn(png, this, [](png_structp png, png_bytep out, std::size_t count) {
      PngReader& self = *static_cast<PngReader*>(png_get_io_ptr(png));
      if (self.file.size() - self.place < count) throw std::runtime_error("is truncated");
      std::memcpy(out, self.file.data() + self.place, count);
      self.place += count;
    });
  }
  ~PngReader() { png_destroy_read_struct(&png, &info, nullptr); }
};

inline Image read_png(const std::string& file) {
  PngReader reader(file);
  png_structp png = reader.png;
  png_read_info(png, reader.info);
  check_size(png_get_image_height(png, reader.info), png_get_image_width(png, reader.info));
  png_set_expand(png);
  png_set_interlace_handling(png);
  png_read_update_info(png, reader.info);
  Image image(png_get_image_height(png, reader.info), png_get_image_width(png, reader.info),
              png_get_channels(png, reader.info));
  if (png_get_bit_depth(png, reader.info) != 8) throw std::runtime_error("does not have 8 bits a sample");
  if (image.channels % 2 == 0) throw std::runtime_error("has transparency, which this program does not read");
  std::vector<png_bytep> rows;
  for (int row = 0; row < image.height; ++row) rows.push_back(&image.pixels[image.place(row, 0)]);
  png_read_image(png, rows.data());
  png_read_end(png, nullptr);
  return image;
}
#endif

#ifdef WITH_JPEG
struct JpegReader {
  jpeg_decompress_struct jpeg{};
  jpeg_error_mgr errors{};

  explicit JpegReader(const std::string& file) {
    jpeg.err = jpeg_std_error(&errors);
    errors.error_exit = [](j_common_ptr jpeg) { refuse(jpeg); };
    // Level -1 is damaged data, of which libjpeg would give what it can.
    errors.emit_message = [](j_common_ptr jpeg, int level) { level < 0 ? refuse(jpeg) : void(); };
    jpeg_create_decompress(&jpeg);
    jpeg_save_markers(&jpeg, JPEG_APP0 + 1, 0xFFFF);
    jpeg_mem_src(&jpeg, reinterpret_cast<const unsigned char*>(file.data()), file.size());
  }
  ~JpegReader() { jpeg_destroy_decompress(&jpeg); }

  [[noreturn]] static void refuse(j_common_ptr jpeg) {
    char message[JMSG_LENGTH_MAX];
    jpeg->err->format_message(jpeg, message);
    throw std::runtime_error(message);
  }
};

// Exif's orientation (tag 0x0112 of the first directory), 1 where there is none.
inline unsigned exif_orientation(const unsigned char* data, std::size_t size) {
  if (size < 14 || std::memcmp(data, "Exif\0", 6) != 0) return 1;
  data += 6, size -= 6;
  const bool little = data[0] == 'I';
  const auto number = [&](std::size_t place, int bytes) {
    std::size_t value = 0;
    for (int i = 0; i < bytes && place + bytes <= size; ++i)
      value |= std::size_t(data[place + i]) << 8 * (little ? i : bytes - 1 - i);
    return value;
  };
  const std::size_t directory = number(4, 4), entries = number(directory, 2);
  for (std::size_t i = 0; i < entries; ++i)
    if (number(directory + 2 + 12 * i, 2) == 0x0112)
      return static_cast<unsigned>(number(directory + 2 + 12 * i + 8, 2));
  return 1;
}

inline Image read_jpeg(const std::string& file) {
  JpegReader reader(file);
  jpeg_decompress_struct& jpeg = reader.jpeg;
  jpeg_read_header(&jpeg, TRUE);
  check_size(jpeg.image_height, jpeg.image_width);
  if (jpeg.num_components != 1 && jpeg.num_components != 3) throw std::runtime_error("is neither grey nor in colour");
  for (jpeg_saved_marker_ptr marker = jpeg.marker_list; marker; marker = marker->next)
    if (exif_orientation(marker->data, marker->data_length) > 1)
      throw std::runtime_error("is stored turned (Exif's orientation); turn it upright first");
  jpeg.out_color_space = jpeg.num_components == 1 ? JCS_GRAYSCALE : JCS_RGB;
  jpeg_start_decompress(&jpeg);
  Image image(jpeg.output_height, jpeg.output_width, jpeg.output_components);
  while (jpeg.output_scanline < jpeg.output_height) {
    JSAMPROW row = &image.pixels[image.place(jpeg.output_scanline, 0)];
    jpeg_read_scanlines(&jpeg, &row, 1);
  }
  jpeg_finish_decompress(&jpeg);
  return image;
}
#endif

inline Image read_image(const std::string& path) {
  std::ifstream stream(path, std::ios::binary);
  const std::string file((std::istreambuf_iterator<char>(stream)), std::istreambuf_iterator<char>());
  if (!stream) throw std::runtime_error("cannot be read");
  const auto starts_with = [&](const char* magic) { return file.rfind(magic, 0) == 0; };
  if (starts_with("P5") || starts_with("P6")) return read_pnm(file);
#ifdef WITH_PNG
  if (starts_with("\x89PNG")) return read_png(file);
#endif
#ifdef WITH_JPEG
  if (starts_with("\xFF\xD8\xFF")) return read_jpeg(file);
#endif
  throw std::runtime_error("is not of a format that this program was built with");
}

// The same image as grey (ITU-R 601-2 luma), RGB or RGBA.
inline Image with_channels(const Image& image, int channels) {
  if (channels == image.channels) return image;
  const bool to_grey = channels == 1 && image.channels == 3;
  if (!to_grey && !(image.channels < channels && (channels == 3 || channels == 4)))
    throw std::runtime_error("has " + std::to_string(image.channels) + " channels, the model needs " +
                             std::to_string(channels));
  Image result(image.height, image.width, channels);
  const std::size_t count = std::size_t(1) * image.height * image.width;
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint8_t* from = &image.pixels[i * image.channels];
    std::uint8_t* to = &result.pixels[i * channels];
    if (to_grey) {
      to[0] = static_cast<std::uint8_t>((from[0] * 19595 + from[1] * 38470 + from[2] * 7471 + 0x8000) >> 16);
      continue;
    }
    for (int channel = 0; channel < 3; ++channel) to[channel] = from[image.channels == 1 ? 0 : channel];
    if (channels == 4) to[3] = 255;
  }
  return result;
}
