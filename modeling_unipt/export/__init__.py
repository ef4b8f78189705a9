"""`unipt export`: both encoders as ONNX files."""
