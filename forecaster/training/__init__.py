"""Training: the one room for pytorch-lightning, from windows to an ONNX model."""
