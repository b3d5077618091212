"""Load a GGUF model, tokenize with it and decode batches."""

import ctypes
import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from edgeeval._llama.backend import clear_messages, last_error, lib, native_time, start_backend
from edgeeval.errors import ModelFileError, WorkerFailed

_ALL_LAYERS = 999
_KV_TYPES = {"f16": 1, "f32": 0}  # ggml_type
_FLASH_ATTENTION_AUTO = -1
_FLASH_ATTENTION_OFF = 0

Logits = npt.NDArray[np.float32]
OnNode = Callable[[int, bool, object], bool]
"""What llama.cpp's eval callback is: (address of a ggml_tensor, asked before it is computed or told
after, unused) -> whether it is wanted, or whether to go on with the graph."""


class Vocabulary:
    """A model's tokenizer; borrowed from the model, which must outlive it."""

    def __init__(self, model: "Model") -> None:
        self._model = model
        self._vocab = lib.llama_model_get_vocab(model.handle)
        self.n_tokens: int = lib.llama_vocab_n_tokens(self._vocab)
        self.bos: int = lib.llama_vocab_bos(self._vocab)
        self.eos: int = lib.llama_vocab_eos(self._vocab)
        self.add_bos = bool(lib.llama_vocab_get_add_bos(self._vocab)) and self.bos >= 0

    def tokenize(self, text: str | bytes, *, add_special: bool, parse_special: bool) -> list[int]:
        """Return token ids; `parse_special` reads text such as `<|im_end|>` as one token."""
        data = text if isinstance(text, bytes) else text.encode("utf-8", "replace")
        capacity = len(data) + 8
        while True:
            buffer = (lib.llama_token * capacity)()
            count = lib.llama_tokenize(
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
            count = lib.llama_token_to_piece(self._vocab, token, buffer, capacity, 0, False)
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
        return str(lib.llama_vocab_get_text(self._vocab, token).decode("utf-8", "replace"))

    def is_end(self, token: int) -> bool:
        """Tell whether a token ends a text: EOS, and the end of a chat turn."""
        return bool(lib.llama_vocab_is_eog(self._vocab, token))

    def special_tokens(self) -> dict[str, int]:
        """Return every token that `parse_special` would read, by its text."""
        special = {}
        for token in range(self.n_tokens):
            attributes = lib.llama_vocab_get_attr(self._vocab, token)
            if attributes & (
                lib.LLAMA_TOKEN_ATTR_CONTROL
                | lib.LLAMA_TOKEN_ATTR_USER_DEFINED
                | lib.LLAMA_TOKEN_ATTR_UNKNOWN
            ):
                text = lib.llama_vocab_get_text(self._vocab, token).decode("utf-8", "replace")
                special[text] = token
        return special

    def digest(self) -> str:
        """Hash every token's text and kind: equal digests number their tokens alike."""
        hasher = hashlib.sha256(b"%d\n" % self.n_tokens)
        if lib.llama_vocab_type(self._vocab) == lib.LLAMA_VOCAB_TYPE_NONE:
            return hasher.hexdigest()
        for token in range(self.n_tokens):
            hasher.update(lib.llama_vocab_get_text(self._vocab, token))
            hasher.update(b"\0%d\n" % lib.llama_vocab_get_attr(self._vocab, token))
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
        start_backend()
        clear_messages()
        params = lib.llama_model_default_params()
        params.vocab_only = vocab_only
        params.use_extra_bufts = use_extra_bufts
        params.n_gpu_layers = _ALL_LAYERS if device == "metal" else 0
        with native_time.measured():
            self.handle = lib.llama_model_load_from_file(str(path).encode(), params)
        if not self.handle:
            raise ModelFileError(
                f"{path}: the engine cannot load it: {last_error('no reason given')}"
            )
        self.path = path
        self.device = device
        self.vocabulary = Vocabulary(self)

    def close(self) -> None:
        """Free the model's memory."""
        if self.handle:
            lib.llama_model_free(self.handle)
            self.handle = None

    @property
    def n_ctx_train(self) -> int:
        """Context length that the model was trained for, in tokens."""
        return int(lib.llama_model_n_ctx_train(self.handle))

    @property
    def is_recurrent(self) -> bool:
        """Tell whether a layer keeps a state instead of cells: prefixes cannot be shared then."""
        return bool(
            lib.llama_model_is_recurrent(self.handle) or lib.llama_model_is_hybrid(self.handle)
        )

    @property
    def chat_template(self) -> str | None:
        """The model's own chat template (untrusted Jinja text), if it has one."""
        template = lib.llama_model_chat_template(self.handle, None)
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
        on_node: OnNode | None = None,
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
            on_node: called for every node of the graph; it must not raise.

        Raises:
            WorkerFailed: llama.cpp could not allocate it.
        """
        params = lib.llama_context_default_params()
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
        if on_node is not None:
            self._eval_callback = lib.ggml_backend_sched_eval_callback(on_node)  # keeps it alive
            params.cb_eval = self._eval_callback
        clear_messages()
        with native_time.measured():
            self._handle = lib.llama_init_from_model(model.handle, params)
        if not self._handle:
            raise WorkerFailed(
                f"{model.path}: no context of {n_ctx} tokens: {last_error('out of memory?')}"
            )
        self._n_vocab = model.vocabulary.n_tokens
        self._n_seq_max = n_seq_max
        self._batch = lib.llama_batch_init(n_batch, 0, n_seq_max)
        self.n_batch = n_batch

    def close(self) -> None:
        """Free the context's memory."""
        if self._handle:
            lib.llama_batch_free(self._batch)
            lib.llama_free(self._handle)
            self._handle = None

    def clear(self) -> None:
        """Forget every sequence."""
        lib.llama_memory_clear(lib.llama_get_memory(self._handle), True)

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
        if any(len(row.sequences) > self._n_seq_max for row in rows):
            raise WorkerFailed(f"a row of more than {self._n_seq_max} sequences")
        batch = self._batch
        batch.n_tokens = len(rows)
        for index, row in enumerate(rows):
            batch.token[index] = row.token
            batch.pos[index] = row.position
            batch.n_seq_id[index] = len(row.sequences)
            for place, sequence in enumerate(row.sequences):
                batch.seq_id[index][place] = sequence
            batch.logits[index] = row.scored
        clear_messages()
        with native_time.measured():
            status = lib.llama_decode(self._handle, batch)
            lib.llama_synchronize(self._handle)
        if status != 0:
            raise WorkerFailed(
                f"llama_decode returned {status} for {len(rows)} tokens: "
                f"{last_error('no reason given')}"
            )
        n_scored = sum(row.scored for row in rows)
        if n_scored == 0:
            return np.empty((0, self._n_vocab), np.float32)
        pointer = lib.llama_get_logits(self._handle)
        return np.ctypeslib.as_array(pointer, shape=(n_scored, self._n_vocab))
