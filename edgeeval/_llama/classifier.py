"""Run a text classifier: an encoder with a classification head, many sequences at a time."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from edgeeval._llama.backend import clear_messages, last_error, lib, native_time
from edgeeval._llama.model import Logits, Model
from edgeeval.errors import WorkerFailed

MAX_SEQUENCES = 256
"""LLAMA_MAX_SEQ: sequences of one batch."""


class Classifier:
    """A loaded classifier and its working memory."""

    def __init__(
        self, path: Path, *, device: str, n_threads: int, use_extra_bufts: bool, n_batch: int
    ) -> None:
        """Load a classifier that takes `n_batch` tokens at once, which bounds a text's length too.

        An encoder sees all of a batch in one piece, so the batch is the physical one. Flash
        attention stays off: on the CPU it rounds keys and values to float16.

        Raises:
            ModelFileError: llama.cpp cannot load the file.
            WorkerFailed: llama.cpp could not allocate its memory.
        """
        self._model = Model(path, device=device, use_extra_bufts=use_extra_bufts)
        self.n_outputs = int(lib.llama_model_n_cls_out(self._model.handle))
        params = lib.llama_context_default_params()
        params.n_ctx = params.n_batch = params.n_ubatch = n_batch
        params.n_seq_max = MAX_SEQUENCES
        params.n_threads = params.n_threads_batch = n_threads
        params.kv_unified = True  # a sequence may have all of the batch
        params.embeddings = True
        params.pooling_type = lib.LLAMA_POOLING_TYPE_RANK
        params.flash_attn_type = lib.LLAMA_FLASH_ATTN_TYPE_DISABLED
        params.offload_kqv = params.op_offload = device == "metal"
        params.no_perf = True
        clear_messages()
        with native_time.measured():
            self._handle = lib.llama_init_from_model(self._model.handle, params)
        if not self._handle:
            raise WorkerFailed(
                f"{path}: no context of {n_batch} tokens: {last_error('out of memory?')}"
            )
        self._batch = lib.llama_batch_init(n_batch, 0, 1)
        self.n_batch = n_batch

    def close(self) -> None:
        """Free all of it."""
        if self._handle:
            lib.llama_batch_free(self._batch)
            lib.llama_free(self._handle)
            self._handle = None
            self._model.close()

    @property
    def labels(self) -> tuple[str, ...]:
        """What the outputs are called, as the file says."""
        names = (lib.llama_model_cls_label(self._model.handle, i) for i in range(self.n_outputs))
        return tuple((name or b"").decode("utf-8", "replace") for name in names)

    def classify(self, sequences: Sequence[Sequence[int]]) -> Logits:
        """Return the raw outputs of one batch of token sequences, shape (sequences, outputs).

        Raises:
            WorkerFailed: llama.cpp refused the batch, or it does not fit.
        """
        n_tokens = sum(map(len, sequences))
        if n_tokens > self.n_batch or len(sequences) > MAX_SEQUENCES or not all(sequences):
            raise WorkerFailed(
                f"{len(sequences)} sequences of {n_tokens} tokens are no batch of {self.n_batch}"
            )
        batch, row = self._batch, 0
        batch.n_tokens = n_tokens
        for number, tokens in enumerate(sequences):
            for position, token in enumerate(tokens):
                batch.token[row] = token
                batch.pos[row] = position
                batch.n_seq_id[row] = 1
                batch.seq_id[row][0] = number
                batch.logits[row] = True
                row += 1
        clear_messages()
        with native_time.measured():
            status = lib.llama_encode(self._handle, batch)
            lib.llama_synchronize(self._handle)
        if status != 0:
            raise WorkerFailed(f"llama_encode returned {status}: {last_error('no reason given')}")
        found = np.empty((len(sequences), self.n_outputs), np.float32)
        for number in range(len(sequences)):
            pointer = lib.llama_get_embeddings_seq(self._handle, number)
            found[number] = np.ctypeslib.as_array(pointer, shape=(self.n_outputs,))
        return found
