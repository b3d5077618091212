"""A tensor of llama.cpp is read as ggml.h lays it out, or not at all."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from edgeeval.artifact import tensors
from edgeeval.artifact.tensors import F32, I32, Operations, Tensor, check_layout, values
from edgeeval.errors import WorkerFailed

F16 = 1


@pytest.fixture
def context() -> Iterator[int]:
    """A place for tensors, not allocated yet."""
    library = tensors._library()
    made = library.ggml_init(tensors._ContextParams(1 << 16, None, True))
    yield made
    library.ggml_free(made)


def allocated(context: int) -> int:
    library = tensors._library()
    cpu = library.ggml_backend_cpu_buffer_type()
    return int(library.ggml_backend_alloc_ctx_tensors_from_buft(context, cpu))


def other_layout(*fields: tuple[Any, ...]) -> type[ctypes.Structure]:
    return type("Other", (ctypes.Structure,), {"_fields_": fields})


def changed(name: str, kind: Any) -> list[tuple[Any, ...]]:
    return [(field, kind if field == name else old) for field, old in Tensor._fields_]


def test_the_installed_build_is_laid_out_as_it_is_read() -> None:
    check_layout(Operations())


_FIELDS = list(Tensor._fields_)


@pytest.mark.parametrize(
    "fields",
    [
        changed("src", ctypes.c_void_p * 8),
        changed("name", ctypes.c_char * 128),
        changed("op_params", ctypes.c_int32 * 32),
        [("backend", ctypes.c_int), *_FIELDS],
        [_FIELDS[0], *_FIELDS[2:], _FIELDS[1]],  # the buffer last, the size unchanged
        [*_FIELDS[:2], _FIELDS[3], _FIELDS[2], *_FIELDS[4:]],  # nb before ne
        [*_FIELDS[:8], _FIELDS[10], _FIELDS[9], _FIELDS[8], *_FIELDS[11:]],
    ],
)
def test_a_build_with_another_layout_is_refused_in_one_line(
    monkeypatch: pytest.MonkeyPatch, fields: list[tuple[Any, ...]]
) -> None:
    """Ours is changed instead of llama.cpp's: what counts is that the two differ."""
    monkeypatch.setattr(tensors, "Tensor", other_layout(*fields))
    message = r"^llama-cpp-python .* lays its tensors out otherwise .*\(.+\); install .*$"
    with pytest.raises(WorkerFailed, match=message):
        check_layout(Operations())


def test_a_build_that_numbers_its_types_or_names_its_functions_otherwise_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    operations = Operations()
    monkeypatch.setattr(tensors, "_TYPE_NAMES", {25: b"i32"})
    with pytest.raises(WorkerFailed, match="type 25 is not i32"):
        check_layout(operations)
    tensors._library.cache_clear()
    monkeypatch.setitem(tensors._SIGNATURES, "ggml_gone", (None, ()))
    with pytest.raises(WorkerFailed, match="it has no ggml_gone"):
        Operations()
    tensors._library.cache_clear()


def test_values_follow_a_views_strides(context: int) -> None:
    """Oracle: numpy slicing of what was written into the tensor."""
    library = tensors._library()
    whole = library.ggml_new_tensor_4d(context, F32, 6, 5, 4, 3)
    view_4d = library.ggml_view_4d
    view_4d.restype = ctypes.c_void_p
    view_4d.argtypes = (ctypes.c_void_p,) * 2 + (ctypes.c_int64,) * 4 + (ctypes.c_size_t,) * 4
    step = 4 * 6
    part = view_4d(context, whole, 3, 2, 4, 2, 2 * step, 5 * step, 20 * step, 4 * 2 + step)
    buffer = allocated(context)
    written = np.arange(3 * 4 * 5 * 6, dtype=np.float32)
    ctypes.memmove(library.ggml_get_data(whole), written.ctypes.data, written.nbytes)
    expected = written.reshape(3, 4, 5, 6)
    np.testing.assert_array_equal(values(whole), expected)
    np.testing.assert_array_equal(values(part), expected[:2, :, 1:5:2, 2:5])
    library.ggml_backend_buffer_free(buffer)


def test_memory_that_is_not_the_hosts_is_copied(
    context: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No accelerator here: the answer of `ggml_backend_buffer_is_host` is turned round."""
    library = tensors._library()
    ids = library.ggml_new_tensor_4d(context, I32, 3, 2, 1, 1)
    buffer = allocated(context)
    written = np.array([[1, 2, 3], [-4, 5, 6]], np.int32)
    ctypes.memmove(library.ggml_get_data(ids), written.ctypes.data, written.nbytes)
    monkeypatch.setattr(library, "ggml_backend_buffer_is_host", lambda buffer: False)
    found = values(ids)
    ctypes.memset(library.ggml_get_data(ids), 0, written.nbytes)
    np.testing.assert_array_equal(found[0, 0], written)
    library.ggml_backend_buffer_free(buffer)


def test_other_types_and_tensors_without_memory_are_refused_by_name(context: int) -> None:
    library = tensors._library()
    half = library.ggml_new_tensor_4d(context, F16, 4, 1, 1, 1)
    library.ggml_set_name(half, b"half")
    with pytest.raises(WorkerFailed, match=r"^tensor half: its values \(type 1\) cannot be read$"):
        values(half)
    nowhere = library.ggml_new_tensor_4d(context, F32, 4, 1, 1, 1)
    with pytest.raises(WorkerFailed, match="cannot be read"):
        values(nowhere)
