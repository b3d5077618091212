"""Turn a recipe's model into GGUF files whose contents are known.

source.py    find the model: a package, a file
quantize.py  build the reference and the levels with llama.cpp's own quantizer
header.py    a GGUF file's header and tensor table, bounds checked
inspect.py   say what a GGUF file really holds
"""
