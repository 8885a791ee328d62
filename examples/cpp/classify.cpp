// Classify images with an ONNX file that lt-export wrote:
//
//     classify model.onnx image.ppm [image.ppm ...] [--topk 1] [--threshold 0.5|auto]
//
// Prints one JSON object an image: labels (class IDs), names and scores, best first.

#include <onnxruntime_cxx_api.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <numeric>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "image.hpp"
#include "preprocess.hpp"
#include "task_spec.hpp"

// Values of the metadata key `input`.
constexpr const char* preprocessed = "float32 (N, C, height, width), preprocessed";
constexpr const char* raw_pixels = "uint8 (N, H, W, C), any size";

struct Arguments {
  std::string model;
  std::vector<std::string> images;
  double topk = 1;  // checked when the number of classes is known
  float threshold = 0.5f;
  bool own_thresholds = false;  // those of the model instead
};

struct Model {
  Ort::Session session;
  TaskSpec task;
  bool takes_pixels = false;  // preprocessing is inside
  std::int64_t batch = 1;     // images at once; 1 where any number may be given
};

double number(const std::string& option, const std::string& text) {
  std::size_t end = 0;
  double value = 0.0;
  try {
    value = std::stod(text, &end);
  } catch (const std::logic_error&) {
  }
  if (end == 0 || end != text.size()) throw std::runtime_error(option + " needs a number, got \"" + text + "\"");
  return value;
}

Arguments parse_arguments(int count, char** values) {
  Arguments arguments;
  std::vector<std::string> words(values + 1, values + count);
  words.emplace_back();  // what an option without a value gets
  for (std::size_t i = 0; i + 1 < words.size(); ++i) {
    if (words[i] == "--topk")
      arguments.topk = number(words[i], words[i + 1]), ++i;
    else if (words[i] == "--threshold" && words[i + 1] == "auto")
      arguments.own_thresholds = true, ++i;
    else if (words[i] == "--threshold")
      arguments.threshold = static_cast<float>(number(words[i], words[i + 1])), arguments.own_thresholds = false, ++i;
    else
      (arguments.model.empty() ? arguments.model : arguments.images.emplace_back()) = words[i];
  }
  if (arguments.images.empty())
    throw std::runtime_error("usage: classify model.onnx image.ppm [image.ppm ...] [--topk 1] [--threshold 0.5|auto]");
  if (!(arguments.threshold > 0.0f && arguments.threshold < 1.0f))
    throw std::runtime_error("--threshold must be above 0 and below 1");
  return arguments;
}

std::string metadata(const Ort::Session& session, const char* key) {
  Ort::AllocatorWithDefaultOptions allocator;
  const auto value = session.GetModelMetadata().LookupCustomMetadataMapAllocated(key, allocator);
  return value ? value.get() : "";
}

Model load_model(const Ort::Env& env, const std::string& path) {
  Ort::SessionOptions options;
  // Idle threads must not keep cores busy between images.
  options.AddConfigEntry("session.intra_op.allow_spinning", "0");
  Model model{Ort::Session(env, std::filesystem::path(path).c_str(), options), {}};
  const std::string task = metadata(model.session, "lt_task_spec"), input = metadata(model.session, "input");
  if (task.empty())
    throw std::runtime_error(
        "has no TaskSpec (metadata key `lt_task_spec`); export it with lightly-train's export_onnx");
  model.task = parse_task_spec(task);
  if (input != preprocessed && input != raw_pixels)
    throw std::runtime_error("metadata key `input` is \"" + input + "\", which this program does not know");
  model.takes_pixels = input == raw_pixels;
  const std::int64_t batch = model.session.GetInputTypeInfo(0).GetTensorTypeAndShapeInfo().GetShape().at(0);
  model.batch = std::max<std::int64_t>(1, batch);
  std::cerr << path << ": " << (model.task.multilabel ? "multilabel, " : "multiclass, ") << model.task.ids.size()
            << " classes, " << metadata(model.session, "precision") << ", by " << metadata(model.session, "producer")
            << "\n";
  return model;
}

// Runs the model on `values`, those of one image; a fixed larger batch is filled up with zeros.
template <typename T>
std::vector<float> run(Model& model, std::vector<T> values, std::vector<std::int64_t> shape) {
  shape[0] = model.batch;
  values.resize(values.size() * model.batch);
  const auto memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
  const auto input = Ort::Value::CreateTensor<T>(memory, values.data(), values.size(), shape.data(), shape.size());
  const char *inputs[] = {"images"}, *outputs[] = {"scores"};
  const std::vector<Ort::Value> result = model.session.Run(Ort::RunOptions{}, inputs, &input, 1, outputs, 1);
  const std::vector<std::int64_t> found = result[0].GetTensorTypeAndShapeInfo().GetShape();
  if (found != std::vector<std::int64_t>{model.batch, static_cast<std::int64_t>(model.task.ids.size())})
    throw std::runtime_error("the model does not give one score for each class");
  const float* scores = result[0].GetTensorData<float>();
  return {scores, scores + model.task.ids.size()};
}

std::vector<float> scores_of(Model& model, const std::string& path) {
  const Preprocessing& spec = model.task.preprocessing;
  Image image = with_channels(read_image(path), spec.channels);
  if (model.takes_pixels) return run(model, std::move(image.pixels), {1, image.height, image.width, image.channels});
  return run(model, preprocess(image, spec), {1, spec.channels, spec.height, spec.width});
}

// Multiclass: the `topk` best. Multilabel: all above their threshold. Best first, ties in the order of the outputs.
std::vector<std::size_t> select(const std::vector<float>& scores, const TaskSpec& task, const Arguments& arguments) {
  std::vector<std::size_t> order(scores.size());
  std::iota(order.begin(), order.end(), std::size_t(0));
  std::stable_sort(order.begin(), order.end(), [&](auto a, auto b) { return scores[a] > scores[b]; });
  const auto is_not_above = [&](auto i) {
    return !(scores[i] > (arguments.own_thresholds ? task.thresholds[i] : arguments.threshold));
  };
  order.erase(task.multilabel ? std::remove_if(order.begin(), order.end(), is_not_above)
                              : order.begin() + static_cast<int>(arguments.topk),
              order.end());
  return order;
}

nlohmann::ordered_json classify(Model& model, const std::string& path, const Arguments& arguments) {
  const std::vector<float> scores = scores_of(model, path);
  nlohmann::ordered_json line;
  line["path"] = path;
  for (const char* key : {"labels", "names", "scores"}) line[key] = nlohmann::ordered_json::array();
  for (const std::size_t i : select(scores, model.task, arguments)) {
    line["labels"].push_back(model.task.ids[i]);
    line["names"].push_back(model.task.names[i]);
    line["scores"].push_back(scores[i]);
  }
  return line;
}

int main(int count, char** values) {
  std::string subject;
  try {
    // The library knows the interfaces of older headers, but not those of newer ones.
    if (!OrtGetApiBase()->GetApi(ORT_API_VERSION))
      throw std::runtime_error(std::string("ONNX Runtime is older than its headers: ") +
                               OrtGetApiBase()->GetVersionString());
    const Arguments arguments = parse_arguments(count, values);
    subject = arguments.model + ": ";
    const Ort::Env env(ORT_LOGGING_LEVEL_ERROR, "classify");
    Model model = load_model(env, arguments.model);
    if (!(arguments.topk >= 1 && arguments.topk <= model.task.ids.size()) ||
        arguments.topk != std::floor(arguments.topk))
      throw std::runtime_error("--topk must be an integer from 1 to " + std::to_string(model.task.ids.size()) +
                               ", the number of classes");
    if (arguments.own_thresholds && model.task.multilabel && model.task.thresholds.empty())
      throw std::runtime_error("--threshold is auto, but this model has no thresholds; fit them before the export");
    for (const std::string& image : arguments.images) {
      subject = image + ": ";
      std::cout << classify(model, image, arguments).dump() << std::endl;
    }
    return 0;
  } catch (const std::exception& error) {
    std::cerr << subject << error.what() << "\n";
    return 2;  // as `lt-export predict`: what fails here is arguments or files
  }
}
