"""Models as ONNX files: writing them, and running them without PyTorch."""
