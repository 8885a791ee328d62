// What a model file says about itself, from the metadata that lt-export wrote.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <vector>

struct Preprocessing {
  int height = 0;  // of the model's input, in pixels
  int width = 0;
  int channels = 0;           // 1 grey, 3 RGB, 4 RGBA
  std::string resize_mode;    // crop, letterbox or squash
  double resize_scale = 1.0;  // of crop: 1.143 keeps 1 / 1.143 of the side that fits tighter
  std::string interpolation;  // bilinear or bicubic
  std::vector<double> mean;   // by channel, of values in [0, 1]
  std::vector<double> std;
};

struct TaskSpec {
  bool multilabel = false;
  std::vector<std::int64_t> ids;   // the user's class IDs, in the order of the model's outputs
  std::vector<std::string> names;  // of the classes, UTF-8
  Preprocessing preprocessing;
  std::vector<float> thresholds;  // of multilabel scores, by class; empty where none were fitted
};

inline std::string one_of(const nlohmann::json& object, const char* key, const std::vector<std::string>& choices) {
  const std::string value = object.at(key);
  for (const std::string& choice : choices)
    if (value == choice) return value;
  throw std::runtime_error("lt_task_spec: `" + std::string(key) + "` is \"" + value +
                           "\", which this program does not know");
}

inline Preprocessing parse_preprocessing(const nlohmann::json& object) {
  Preprocessing spec;
  spec.height = object.at("image_size").at(0);
  spec.width = object.at("image_size").at(1);
  spec.channels = object.at("num_channels");
  spec.resize_mode = one_of(object, "resize_mode", {"crop", "letterbox", "squash"});
  spec.resize_scale = object.at("resize_scale");
  spec.interpolation = one_of(object, "interpolation", {"bilinear", "bicubic"});
  spec.mean = object.at("mean").get<std::vector<double>>();
  spec.std = object.at("std").get<std::vector<double>>();
  const auto channels = static_cast<std::size_t>(spec.channels);
  if (spec.height < 1 || spec.width < 1 || spec.channels < 1 || spec.mean.size() != channels ||
      spec.std.size() != channels)
    throw std::runtime_error("lt_task_spec: sizes do not fit together");
  return spec;
}

inline std::vector<float> parse_thresholds(const nlohmann::json& document, std::size_t classes) {
  const auto calibration = document.find("calibration");
  if (calibration == document.end() || calibration->at("thresholds").is_null()) return {};
  const auto thresholds = calibration->at("thresholds").get<std::vector<float>>();
  if (thresholds.size() != classes) throw std::runtime_error("lt_task_spec: need one threshold for each class");
  return thresholds;
}

// Reads the value of the metadata key `lt_task_spec`.
inline TaskSpec parse_task_spec(const std::string& text) {
  try {
    const nlohmann::json document = nlohmann::json::parse(text);
    if (document.at("format") != "lightly-train/task-spec")
      throw std::runtime_error("lt_task_spec: `format` must be \"lightly-train/task-spec\"");
    if (document.at("version") != 1)
      throw std::runtime_error("lt_task_spec: this program reads version 1, the file has " +
                               document.at("version").dump());
    TaskSpec task;
    task.multilabel = one_of(document, "task", {"multiclass", "multilabel"}) == "multilabel";
    for (const nlohmann::json& entry : document.at("classes")) {
      task.ids.push_back(entry.at("id"));
      task.names.push_back(entry.at("name"));
    }
    task.preprocessing = parse_preprocessing(document.at("preprocessing"));
    task.thresholds = parse_thresholds(document, task.ids.size());
    return task;
  } catch (const nlohmann::json::exception& error) {
    throw std::runtime_error(std::string("lt_task_spec is damaged: ") + error.what());
  }
}
