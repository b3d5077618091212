"""Speak to llama.cpp: the only module that imports llama_cpp, and only its low-level API.

Nothing here knows of prompt sets, items or metrics. Everything here runs inside a worker process,
because native code may abort the process that calls it.
"""

import ctypes
import functools
import hashlib
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import llama_cpp
import numpy as np
import numpy.typing as npt
from llama_cpp import llama_cpp as _native

from edgeeval.errors import ModelFileError, WorkerFailed

# The binding's decorators erase its types; one untyped name keeps the rest of this module typed.
_lib: Any = _native

_LOG_LEVEL_ERROR = 4
_ALL_LAYERS = 999
_KV_TYPES = {"f16": 1, "f32": 0}  # ggml_type
_FLASH_ATTENTION_AUTO = -1
_FLASH_ATTENTION_OFF = 0

Logits = npt.NDArray[np.float32]


class _NativeTime:
    """Seconds spent inside llama.cpp by this process, for the run record."""

    def __init__(self) -> None:
        self.elapsed_s = 0.0

    @contextmanager
    def measured(self) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self.elapsed_s += time.perf_counter() - start


native_time = _NativeTime()
_errors: list[str] = []


@functools.cache
def _log_callback() -> Any:
    """Keep llama.cpp's error lines (they are the only explanation it gives); drop the rest."""

    def keep_errors(level: int, text: bytes, _user_data: object) -> None:
        if level == _LOG_LEVEL_ERROR:
            _errors.append(text.decode("utf-8", "replace").strip())

    return _lib.llama_log_callback(keep_errors)


@functools.cache
def _start_backend() -> None:
    _lib.llama_log_set(_log_callback(), None)
    _lib.llama_backend_init()


def _last_error(otherwise: str) -> str:
    """Return llama.cpp's most telling error line: the first one says the cause."""
    lines = [line for text in _errors for line in text.splitlines() if re.search(r"\w", line)]
    return lines[0].split(": ", 1)[-1].strip() if lines else otherwise


class EngineBuild(NamedTuple):
    """What the installed llama.cpp is: two builds that differ here may round differently."""

    package: str
    """llama-cpp-python's version, which fixes the llama.cpp commit."""
    version: str
    """llama.cpp's own version string."""
    features: str
    """Compile flags and CPU features, as llama.cpp prints them."""
    libraries_sha256: str
    """Hash over the shared libraries, 16 hex digits: a rebuild with other flags changes it."""
    gpu_offload: bool


@functools.cache
def engine_build() -> EngineBuild:
    """Identify the installed engine."""
    _start_backend()
    hasher = hashlib.sha256()
    folder = Path(llama_cpp.__file__).parent / "lib"
    for library in sorted(path for path in folder.iterdir() if path.is_file()):
        if library.suffix in {".so", ".dylib", ".dll"}:
            hasher.update(library.read_bytes())
    return EngineBuild(
        package=f"llama-cpp-python {llama_cpp.__version__}",
        version=_lib.llama_version().decode(),
        features=_lib.llama_print_system_info().decode().strip(" |"),
        libraries_sha256=hasher.hexdigest()[:16],
        gpu_offload=bool(_lib.llama_supports_gpu_offload()),
    )


class Vocabulary:
    """A model's tokenizer; borrowed from the model, which must outlive it."""

    def __init__(self, model: "Model") -> None:
        self._model = model
        self._vocab = _lib.llama_model_get_vocab(model.handle)
        self.n_tokens: int = _lib.llama_vocab_n_tokens(self._vocab)
        self.bos: int = _lib.llama_vocab_bos(self._vocab)
        self.eos: int = _lib.llama_vocab_eos(self._vocab)
        self.add_bos = bool(_lib.llama_vocab_get_add_bos(self._vocab)) and self.bos >= 0

    def tokenize(self, text: str, *, add_special: bool, parse_special: bool) -> list[int]:
        """Return token ids; `parse_special` reads text such as `<|im_end|>` as one token."""
        data = text.encode("utf-8", "replace")
        capacity = len(data) + 8
        while True:
            buffer = (_lib.llama_token * capacity)()
            count = _lib.llama_tokenize(
                self._vocab, data, len(data), buffer, capacity, add_special, parse_special
            )
            if count >= 0:
                return list(buffer[:count])
            capacity = -count

    def piece(self, token: int) -> bytes:
        """Return the bytes that a token writes; control tokens write nothing."""
        capacity = 64
        while True:
            buffer = ctypes.create_string_buffer(capacity)
            count = _lib.llama_token_to_piece(self._vocab, token, buffer, capacity, 0, False)
            if count >= 0:
                return buffer.raw[:count]
            capacity = -count

    def text(self, tokens: Sequence[int]) -> str:
        """Return the text of generated tokens; broken UTF-8 becomes U+FFFD."""
        return b"".join(self.piece(token) for token in tokens).decode("utf-8", "replace")

    def token_text(self, token: int) -> str:
        """Return a token's own name, such as `<|im_end|>`; empty where the model has none."""
        if token < 0:
            return ""
        return str(_lib.llama_vocab_get_text(self._vocab, token).decode("utf-8", "replace"))

    def is_end(self, token: int) -> bool:
        """Tell whether a token ends a text: EOS, and the end of a chat turn."""
        return bool(_lib.llama_vocab_is_eog(self._vocab, token))

    def special_tokens(self) -> dict[str, int]:
        """Return every token that `parse_special` would read, by its text."""
        special = {}
        for token in range(self.n_tokens):
            attributes = _lib.llama_vocab_get_attr(self._vocab, token)
            if attributes & (
                _lib.LLAMA_TOKEN_ATTR_CONTROL
                | _lib.LLAMA_TOKEN_ATTR_USER_DEFINED
                | _lib.LLAMA_TOKEN_ATTR_UNKNOWN
            ):
                text = _lib.llama_vocab_get_text(self._vocab, token).decode("utf-8", "replace")
                special[text] = token
        return special

    def digest(self) -> str:
        """Hash every token's text and kind: equal digests number their tokens alike."""
        hasher = hashlib.sha256(b"%d\n" % self.n_tokens)
        if _lib.llama_vocab_type(self._vocab) == _lib.LLAMA_VOCAB_TYPE_NONE:
            return hasher.hexdigest()
        for token in range(self.n_tokens):
            hasher.update(_lib.llama_vocab_get_text(self._vocab, token))
            hasher.update(b"\0%d\n" % _lib.llama_vocab_get_attr(self._vocab, token))
        return hasher.hexdigest()


class Model:
    """A loaded GGUF file."""

    def __init__(
        self,
        path: Path,
        *,
        device: str = "cpu",
        vocab_only: bool = False,
        use_extra_bufts: bool = True,
    ) -> None:
        """Load a model.

        Args:
            path: GGUF file.
            device: "cpu" or "metal".
            vocab_only: the tokenizer without the weights.
            use_extra_bufts: let llama.cpp keep weights in the layouts of its fast kernels (AMX,
                repacking), as it does by default.

        Raises:
            ModelFileError: llama.cpp cannot load the file; the message carries its reason.
        """
        _start_backend()
        _errors.clear()
        params = _lib.llama_model_default_params()
        params.vocab_only = vocab_only
        params.use_extra_bufts = use_extra_bufts
        params.n_gpu_layers = _ALL_LAYERS if device == "metal" else 0
        with native_time.measured():
            self.handle = _lib.llama_model_load_from_file(str(path).encode(), params)
        if not self.handle:
            raise ModelFileError(
                f"{path}: the engine cannot load it: {_last_error('no reason given')}"
            )
        self.path = path
        self.device = device
        self.vocabulary = Vocabulary(self)

    def close(self) -> None:
        """Free the model's memory."""
        if self.handle:
            _lib.llama_model_free(self.handle)
            self.handle = None

    @property
    def n_ctx_train(self) -> int:
        """Context length that the model was trained for, in tokens."""
        return int(_lib.llama_model_n_ctx_train(self.handle))

    @property
    def is_recurrent(self) -> bool:
        """Tell whether a layer keeps a state instead of cells: prefixes cannot be shared then."""
        return bool(
            _lib.llama_model_is_recurrent(self.handle) or _lib.llama_model_is_hybrid(self.handle)
        )

    @property
    def chat_template(self) -> str | None:
        """The model's own chat template (untrusted Jinja text), if it has one."""
        template = _lib.llama_model_chat_template(self.handle, None)
        return template.decode("utf-8", "replace") if template else None


class Row(NamedTuple):
    """One token of a batch."""

    token: int
    position: int
    sequences: tuple[int, ...]
    scored: bool
    """Whether its logits are wanted: asking for all costs 10 % of prefill."""


class Context:
    """A model's working memory: key-value cells and the batch that is decoded into them."""

    def __init__(
        self,
        model: Model,
        *,
        n_ctx: int,
        n_batch: int,
        n_ubatch: int,
        n_seq_max: int,
        n_threads: int,
        kv_unified: bool,
        kv_type: str,
        flash_attention: bool,
    ) -> None:
        """Allocate a context of `n_ctx` cells for `n_seq_max` sequences together.

        Args:
            model: the loaded model.
            n_ctx: cells, for all sequences together.
            n_batch: rows that one `decode` takes at most.
            n_ubatch: rows computed at once.
            n_seq_max: sequences.
            n_threads: threads.
            kv_unified: one pool of cells, which sequences may share; else each has its own.
            kv_type: "f16" (llama.cpp's default) or "f32".
            flash_attention: let llama.cpp use it where it can (its default), or never. On the CPU
                it rounds to float16 on the way.

        Raises:
            WorkerFailed: llama.cpp could not allocate it.
        """
        params = _lib.llama_context_default_params()
        params.n_ctx = n_ctx
        params.n_batch = n_batch
        params.n_ubatch = min(n_ubatch, n_batch)
        params.n_seq_max = n_seq_max
        params.n_threads = n_threads
        params.n_threads_batch = n_threads
        params.kv_unified = kv_unified
        params.type_k = params.type_v = _KV_TYPES[kv_type]
        params.flash_attn_type = _FLASH_ATTENTION_AUTO if flash_attention else _FLASH_ATTENTION_OFF
        on_gpu = model.device == "metal"
        params.offload_kqv = on_gpu
        params.op_offload = on_gpu
        params.no_perf = True
        _errors.clear()
        with native_time.measured():
            self._handle = _lib.llama_init_from_model(model.handle, params)
        if not self._handle:
            raise WorkerFailed(
                f"{model.path}: no context of {n_ctx} tokens: {_last_error('out of memory?')}"
            )
        self._n_vocab = model.vocabulary.n_tokens
        self._n_seq_max = n_seq_max
        self._batch = _lib.llama_batch_init(n_batch, 0, n_seq_max)
        self.n_batch = n_batch

    def close(self) -> None:
        """Free the context's memory."""
        if self._handle:
            _lib.llama_batch_free(self._batch)
            _lib.llama_free(self._handle)
            self._handle = None

    def clear(self) -> None:
        """Forget every sequence."""
        _lib.llama_memory_clear(_lib.llama_get_memory(self._handle), True)

    def decode(self, rows: Sequence[Row]) -> Logits:
        """Decode one batch.

        Returns:
            Logits, shape (scored rows, vocabulary), in the order of the rows. It is llama.cpp's own
            buffer: valid until the next call.

        Raises:
            WorkerFailed: llama.cpp refused the batch or ran out of cells.
        """
        if len(rows) > self.n_batch:  # the batch's arrays end there
            raise WorkerFailed(f"{len(rows)} rows do not fit a batch of {self.n_batch}")
        batch = self._batch
        batch.n_tokens = len(rows)
        for index, row in enumerate(rows):
            batch.token[index] = row.token
            batch.pos[index] = row.position
            batch.n_seq_id[index] = len(row.sequences)
            for place, sequence in enumerate(row.sequences):
                batch.seq_id[index][place] = sequence
            batch.logits[index] = row.scored
        _errors.clear()
        with native_time.measured():
            status = _lib.llama_decode(self._handle, batch)
            _lib.llama_synchronize(self._handle)
        if status != 0:
            raise WorkerFailed(
                f"llama_decode returned {status} for {len(rows)} tokens: "
                f"{_last_error('no reason given')}"
            )
        n_scored = sum(row.scored for row in rows)
        if n_scored == 0:
            return np.empty((0, self._n_vocab), np.float32)
        pointer = _lib.llama_get_logits(self._handle)
        return np.ctypeslib.as_array(pointer, shape=(n_scored, self._n_vocab))


def file_types() -> dict[str, int]:
    """Return the quantization levels that the engine's enum knows, by the names users know."""
    names = {}
    for name, value in vars(_native).items():
        if name.startswith("LLAMA_FTYPE_") and name != "LLAMA_FTYPE_GUESSED":
            names[
                name.removeprefix("LLAMA_FTYPE_").removeprefix("MOSTLY_").removeprefix("ALL_")
            ] = value
    return names


def quantize(source: Path, target: Path, *, file_type: str, n_threads: int) -> None:
    """Write `source` at another quantization level, with llama.cpp's own quantizer.

    A source that is itself quantized is dequantized first (`allow_requantize`).

    Raises:
        WorkerFailed: llama.cpp reported a failure; the message carries its reason.
    """
    _start_backend()
    _errors.clear()
    params = _lib.llama_model_quantize_default_params()
    params.ftype = file_types()[file_type]
    params.nthread = n_threads
    params.allow_requantize = True
    with native_time.measured():
        status = _lib.llama_model_quantize(
            str(source).encode(), str(target).encode(), ctypes.byref(params)
        )
    if status != 0:
        raise WorkerFailed(f"{source.name} to {file_type}: {_last_error('no reason given')}")
