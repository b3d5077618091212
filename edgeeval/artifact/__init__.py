"""Turn a recipe's model into GGUF files whose contents are known.

source.py              find what a recipe names: files, folders, packages, repositories
package.py             a GGUF file out of a Python package
hub.py                 files of a Hub repository: fetched, checked, found again
hub_cache.py           the Hugging Face cache, where they are kept
hub_client.py          how the Hub is asked
github.py              files of a GitHub repository, known by git's hashes
transfer.py            a file over HTTP: patiently, resumed, never more than agreed
data.py                published data sets by name, for `prompts import`
checkpoint.py          what a Hugging Face folder must hold to be converted
safetensors.py         the headers of its weights, bounds checked
convert.py             a Hugging Face folder -> GGUF, with llama.cpp's own converter
converter.py           which converter: the fetched one, or a checkout; and how it is run
converter_env.py       the environment that the converter runs in
converter_launch.py    the converter's first lines, inside that environment
quantize.py            build the reference and the levels with llama.cpp's own quantizer
imatrix.py             compute an importance matrix from a calibration text
imatrix_file.py        read and write llama.cpp's imatrix files; what the quantizer gets of one
imatrix_statistics.py  say what an importance matrix shows
activations.py         sum what enters each weight's product, while the engine decodes
tensors.py             read llama.cpp's tensors in memory, or refuse to
header.py              a GGUF file's header and tensor table, bounds checked
splits.py              the parts of a split GGUF file
inspect.py             say what a GGUF file really holds
compare.py             say how GGUF files differ
"""
