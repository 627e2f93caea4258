"""A cut model as files that other tools open: plain transformers, llama.cpp, or the dense shape with zeros."""
