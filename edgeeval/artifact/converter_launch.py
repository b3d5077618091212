"""Run llama.cpp's converter so that nothing of the model is run and nothing is downloaded.

The converter loads tokenizers with `trust_remote_code=True`: transformers would then run Python
files that the model's folder brings. Here that switch is held off, whatever the converter asks for;
a tokenizer that transformers knows itself is loaded without it. This script runs in the converter's
environment, where edgeeval is not installed: its first argument is the converter.
"""

import runpy
import sys
from pathlib import Path
from typing import Any

OWN_CODE = "the model needs Python code of its own, which is not run"


def _distrust_the_model() -> None:
    from transformers import dynamic_module_utils

    decide = dynamic_module_utils.resolve_trust_remote_code
    assert dynamic_module_utils.get_class_from_dynamic_module  # a transformers without it: stop

    def without_trust(
        trust_remote_code: Any,
        model_name: Any,
        has_local_code: bool,
        has_remote_code: bool,
        *rest: Any,
        **more: Any,
    ) -> Any:
        if has_remote_code and not has_local_code:
            raise ValueError(OWN_CODE)
        return decide(False, model_name, has_local_code, has_remote_code, *rest, **more)

    def refuse(*_: Any, **__: Any) -> Any:
        raise ValueError(OWN_CODE)

    dynamic_module_utils.resolve_trust_remote_code = without_trust
    dynamic_module_utils.get_class_from_dynamic_module = refuse


def _stay_offline(event: str, _arguments: Any) -> None:
    if event in ("socket.connect", "socket.getaddrinfo"):
        raise PermissionError("the converter wanted the network, which only `fetch` may use")


if __name__ == "__main__":
    del sys.argv[0]
    sys.addaudithook(_stay_offline)
    sys.path.insert(0, str(Path(sys.argv[0]).parent))  # as if it had been started itself
    _distrust_the_model()
    runpy.run_path(sys.argv[0], run_name="__main__")
