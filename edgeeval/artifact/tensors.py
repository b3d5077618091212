"""Read llama.cpp's tensors while it computes them, without ever misreading one.

An eval callback gets the address of a `ggml_tensor`, whose fields no function returns. Their layout
is that of `ggml/include/ggml.h` in the source archive of llama-cpp-python 0.3.36. Another build may
lay them out otherwise, so tensors whose every field is known are made and compared first. Runs in
worker processes only.
"""

import ctypes
import functools
from typing import Any

import numpy as np
import numpy.typing as npt

from edgeeval._llama import engine_build, ggml
from edgeeval.errors import WorkerFailed, one_line

F32 = 0
I32 = 26
_NUMPY_TYPES: dict[int, type[np.generic]] = {F32: np.float32, I32: np.int32}
_TYPE_NAMES = {F32: b"f32", I32: b"i32"}
_N_OPS_SEARCHED = 64
"""`ggml_op_name` reads past its table beyond the last operation; this engine has 90 and more."""
_OBJECT_BYTES = 32
"""What `ggml_tensor_overhead` counts beside the tensor itself: a `ggml_object`."""


class Tensor(ctypes.Structure):
    """A `ggml_tensor`; make one with `Tensor.from_address`."""

    _fields_ = (
        ("type", ctypes.c_int),
        ("buffer", ctypes.c_void_p),
        ("ne", ctypes.c_int64 * 4),
        ("nb", ctypes.c_size_t * 4),
        ("op", ctypes.c_int),
        ("op_params", ctypes.c_int32 * 16),
        ("flags", ctypes.c_int32),
        ("src", ctypes.c_void_p * 10),
        ("view_src", ctypes.c_void_p),
        ("view_offs", ctypes.c_size_t),
        ("data", ctypes.c_void_p),
        ("name", ctypes.c_char * 64),
        ("extra", ctypes.c_void_p),
        ("padding", ctypes.c_char * 8),
    )


class _ContextParams(ctypes.Structure):
    """`ggml_init_params`."""

    _fields_ = (
        ("mem_size", ctypes.c_size_t),
        ("mem_buffer", ctypes.c_void_p),
        ("no_alloc", ctypes.c_bool),
    )


_POINTER, _SIZE, _INT, _TEXT = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_char_p
_SIGNATURES: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "ggml_op_name": (_TEXT, (_INT,)),
    "ggml_type_name": (_TEXT, (_INT,)),
    "ggml_type_size": (_SIZE, (_INT,)),
    "ggml_tensor_overhead": (_SIZE, ()),
    "ggml_init": (_POINTER, (_ContextParams,)),
    "ggml_free": (None, (_POINTER,)),
    "ggml_new_tensor_4d": (_POINTER, (_POINTER, _INT, *[ctypes.c_int64] * 4)),
    "ggml_set_name": (_POINTER, (_POINTER, _TEXT)),
    "ggml_get_data": (_POINTER, (_POINTER,)),
    "ggml_mul_mat": (_POINTER, (_POINTER, _POINTER, _POINTER)),
    "ggml_mul_mat_id": (_POINTER, (_POINTER, _POINTER, _POINTER, _POINTER)),
    "ggml_backend_cpu_buffer_type": (_POINTER, ()),
    "ggml_backend_alloc_ctx_tensors_from_buft": (_POINTER, (_POINTER, _POINTER)),
    "ggml_backend_buffer_is_host": (ctypes.c_bool, (_POINTER,)),
    "ggml_backend_buffer_free": (None, (_POINTER,)),
    "ggml_backend_tensor_get": (None, (_POINTER, _POINTER, _SIZE, _SIZE)),
}


@functools.cache
def _library() -> Any:
    """Return ggml with the functions that this module calls declared."""
    library = ggml()
    for name, (result, arguments) in _SIGNATURES.items():
        function = getattr(library, name, None)
        if function is None:
            raise _unknown_build(f"it has no {name}")
        function.restype, function.argtypes = result, arguments
    return library


def _unknown_build(what: str) -> WorkerFailed:
    return WorkerFailed(
        f"{engine_build().package}: this build of llama.cpp lays its tensors out otherwise than "
        f"edgeeval reads them ({what}); install llama-cpp-python 0.3.36, or give an imatrix file "
        "that llama-imatrix made"
    )


class Operations:
    """Numbers of the two operations that multiply by a weight."""

    def __init__(self) -> None:
        """Look them up by name.

        Raises:
            WorkerFailed: this build does not know them.
        """
        names = [_library().ggml_op_name(number) for number in range(_N_OPS_SEARCHED)]
        if not {b"MUL_MAT", b"MUL_MAT_ID"} <= set(names):
            raise _unknown_build("it has no MUL_MAT")
        self.mul_mat = names.index(b"MUL_MAT")
        self.mul_mat_id = names.index(b"MUL_MAT_ID")


def check_layout(operations: Operations) -> None:
    """Compare what `Tensor` reads of known tensors with what they were made with.

    Raises:
        WorkerFailed: this build lays tensors out otherwise.
    """
    library = _library()
    for number, name in _TYPE_NAMES.items():
        if library.ggml_type_name(number) != name or library.ggml_type_size(number) != 4:
            raise _unknown_build(f"type {number} is not {name.decode()}")
    if library.ggml_tensor_overhead() != _OBJECT_BYTES + ctypes.sizeof(Tensor):
        raise _unknown_build("a tensor's size")
    context = library.ggml_init(_ContextParams(1 << 16, None, True))
    if not context:
        raise WorkerFailed("out of memory")
    weight = library.ggml_new_tensor_4d(context, F32, 5, 3, 7, 1)
    rows = library.ggml_new_tensor_4d(context, F32, 5, 2, 11, 1)
    ids = library.ggml_new_tensor_4d(context, I32, 2, 11, 1, 1)
    library.ggml_set_name(rows, b"blk.7.known.weight")
    product = library.ggml_mul_mat_id(context, weight, rows, ids)
    cpu = library.ggml_backend_cpu_buffer_type()
    buffer = library.ggml_backend_alloc_ctx_tensors_from_buft(context, cpu)
    try:
        of_rows, of_product = Tensor.from_address(rows), Tensor.from_address(product)
        found = {
            "type": (of_rows.type, Tensor.from_address(ids).type) == (F32, I32),
            "ne": tuple(of_rows.ne) == (5, 2, 11, 1) and tuple(of_product.ne) == (3, 2, 11, 1),
            "nb": tuple(of_rows.nb) == (4, 20, 40, 440),
            "op": (of_rows.op, of_product.op) == (0, operations.mul_mat_id),
            "src": tuple(of_product.src[:4]) == (weight, rows, ids, None),
            "name": of_rows.name == b"blk.7.known.weight",
            "data": of_rows.data is not None and of_rows.data == library.ggml_get_data(rows),
            "buffer": buffer is not None and of_rows.buffer == of_product.buffer == buffer,
        }
        if wrong := [field for field, agrees in found.items() if not agrees]:
            raise _unknown_build(", ".join(wrong))
    finally:
        if buffer:
            library.ggml_backend_buffer_free(buffer)
        library.ggml_free(context)


def values(address: int) -> npt.NDArray[Any]:
    """Return the values of an F32 or I32 tensor, as numpy orders them: the longest stride first.

    On the host it is a view of llama.cpp's own memory, valid until the callback returns; elsewhere
    (Metal) it is a copy.

    Raises:
        WorkerFailed: the tensor has another type, or no memory.
    """
    tensor = Tensor.from_address(address)
    kind = _NUMPY_TYPES.get(tensor.type)
    if kind is None or tensor.buffer is None or tensor.data is None:
        name = one_line(tensor.name.decode("utf-8", "replace"))
        raise WorkerFailed(f"tensor {name}: its values (type {tensor.type}) cannot be read")
    n_bytes = 4 + sum((n - 1) * step for n, step in zip(tensor.ne, tensor.nb))
    raw: Any
    if _library().ggml_backend_buffer_is_host(tensor.buffer):
        raw = (ctypes.c_char * n_bytes).from_address(tensor.data)
    else:
        raw = ctypes.create_string_buffer(n_bytes)
        _library().ggml_backend_tensor_get(address, raw, 0, n_bytes)
    return np.ndarray(tuple(tensor.ne)[::-1], kind, raw, strides=tuple(tensor.nb)[::-1])
