"""TensorRT engines from our ONNX files; building one needs TensorRT and a GPU, and no PyTorch."""
