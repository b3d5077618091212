"""What a recipe may hold: all that can be checked without a model is checked here."""

import re
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from edgeeval.recipe.types import QUANTIZATION_TYPES

AS_GIVEN = "as given"
"""Reference type of a recipe that takes its GGUF file as it is."""

_Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]{0,99}$")]
_Package = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*==[A-Za-z0-9.!+_-]+$")]
_Repository = Annotated[str, Field(pattern=r"^[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}$")]
_Revision = Annotated[str, Field(pattern=r"^[A-Za-z0-9][\w./-]{0,199}$")]

_TENSOR_KEYS = {"token_embd", "output"}
"""Override keys that name one tensor; every other key is a regular expression."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def _given(**keys: Any) -> list[str]:
    return [name for name, value in keys.items() if value is not None]


def _require_inside(pattern: str, key: str) -> None:
    """Refuse a pattern for files of a repository that points out of it."""
    if pattern.startswith("/") or ".." in pattern.split("/"):
        raise ValueError(f"{key}: {pattern!r} leaves the repository; give a file's name in it")


class ModelSource(_Strict):
    """Where the model comes from: exactly one of package, gguf, folder, hf and bundle."""

    package: _Package | None = None
    """A Python package, with its version, that carries one GGUF file."""
    gguf: Path | None = None
    """A GGUF file (of a split one, the first); relative to the recipe."""
    folder: Path | None = None
    """A Hugging Face model folder: config.json, safetensors, tokenizer; relative to the recipe."""
    hf: _Repository | None = None
    """A repository of the Hugging Face Hub: a model to convert or, with `file`, a GGUF file."""
    revision: _Revision | None = None
    """Branch, tag or commit of the repository."""
    file: str | None = None
    """Which GGUF file of the repository: a name or a pattern."""
    bundle: Path | None = None
    """A reference's run from another machine (`edgeeval bundle`); relative to the recipe."""

    @model_validator(mode="after")
    def _one(self) -> "ModelSource":
        sources = _given(
            package=self.package,
            gguf=self.gguf,
            folder=self.folder,
            hf=self.hf,
            bundle=self.bundle,
        )
        if len(sources) != 1:
            raise ValueError(
                "give one of package (name==version), gguf (path), folder (path), hf (owner/name) "
                "or bundle (path)"
            )
        if self.hf is None and _given(revision=self.revision, file=self.file):
            raise ValueError("revision and file belong to hf")
        if self.file is not None:
            _require_inside(self.file, "file")
        return self

    @property
    def is_checkpoint(self) -> bool:
        """Tell whether the model is a folder that must be converted to GGUF first."""
        return self.folder is not None or (self.hf is not None and self.file is None)

    def describe(self) -> str:
        """Say where the model comes from, for records and messages."""
        place = self.package or self.hf or str(self.gguf or self.folder or self.bundle)
        return f"{place}@{self.revision}" if self.revision else place


class Level(_Strict):
    """A level to build or a file to take."""

    type: str | None = None
    """Quantization type, such as Q4_K_M."""
    file: str | None = None
    """A ready-made GGUF file, relative to the recipe; with `hf`, a name or pattern in there."""
    hf: _Repository | None = None
    """A repository of the Hugging Face Hub that has the file."""
    revision: _Revision | None = None
    name: _Name | None = None
    tensors: dict[str, str] = Field(default_factory=dict)
    """`token_embd`, `output` or a regular expression over tensor names -> tensor type. The first
    expression that is found in a tensor's name decides."""
    pure: bool = False
    """Every tensor the same type, without llama.cpp's mixture."""
    leave_output_tensor: bool = False
    """Keep output.weight as it is."""
    imatrix: bool = True
    """Use the recipe's imatrix, if it has one."""

    @model_validator(mode="after")
    def _one(self) -> "Level":
        if (self.type is None) == (self.file is None):
            raise ValueError("give one of type or file")
        if self.file is None and (self.hf or self.revision):
            raise ValueError("hf and revision belong to file")
        if self.revision is not None and self.hf is None:
            raise ValueError("revision belongs to hf")
        if self.hf is not None and self.file is not None:
            _require_inside(self.file, "file")
        if self.file is not None and (self.tensors or self.pure or self.leave_output_tensor):
            raise ValueError("tensors, pure and leave_output_tensor belong to type")
        if self.is_mix and self.name is None:
            raise ValueError(f"a mix needs a name of its own; {self.type} alone would mislead")
        for pattern in self.patterns:
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"tensors: {pattern!r} is no expression: {error}") from None
        return self

    @property
    def note(self) -> str:
        """What a person must know who takes its type for something else; "" mostly."""
        return QUANTIZATION_TYPES[self.type].note if self.type in QUANTIZATION_TYPES else ""

    @property
    def is_mix(self) -> bool:
        """Tell whether it is something else than what llama.cpp makes of its type by default."""
        return bool(self.tensors) or self.pure or self.leave_output_tensor

    @property
    def patterns(self) -> dict[str, str]:
        """The overrides that are regular expressions, in order."""
        return {key: kind for key, kind in self.tensors.items() if key not in _TENSOR_KEYS}

    @property
    def label(self) -> str:
        """The level's name in every table."""
        return self.name or self.type or Path(self.file or "").stem


class Imatrix(_Strict):
    """The importance matrix that levels are quantized with: computed from a text, or ready-made."""

    text: Path | None = None
    """Calibration text; relative to the recipe."""
    file: Path | None = None
    """An imatrix file of llama.cpp; relative to the recipe."""
    chunks: Annotated[int, Field(ge=1)] | None = None
    """Chunks of `n_ctx` tokens of the text; all of them by default."""
    n_ctx: Annotated[int, Field(ge=32)] = 512

    @model_validator(mode="after")
    def _one(self) -> "Imatrix":
        if (self.text is None) == (self.file is None):
            raise ValueError("give one of text or file")
        if self.file is not None and self.chunks is not None:
            raise ValueError("chunks belongs to text")
        return self


class Limit(_Strict):
    """One requirement as a person writes it: exactly one of the three."""

    margin: Annotated[float, Field(gt=0)] | None = None
    max: float | None = None
    min: float | None = None
    reason: str = ""
    """Why this number (policies say it)."""

    @model_validator(mode="after")
    def _one(self) -> "Limit":
        if len(_given(margin=self.margin, max=self.max, min=self.min)) != 1:
            raise ValueError("give exactly one of margin, max, min")
        return self


class Recipe(_Strict):
    """A model, the levels to compare and what they must keep."""

    name: _Name
    model: ModelSource
    licence: str = ""
    """The model's, as its authors state it."""
    n_params: Annotated[int, Field(gt=0)] | None = None
    """The model's parameters, for sizes before it is on the disk."""
    reference: str
    """Type of the unquantized file to make or to take, or "as given"."""
    quantized_reference: bool = False
    """Accept a reference that is itself quantized; every output says so."""
    levels: tuple[Level, ...] = Field(min_length=1)
    imatrix: Imatrix | None = None
    judges: tuple[str, ...] = ()
    """Judges of harm: names, or files relative to the recipe; the default one without any."""
    suite: str = "standard"
    policy: str = "balanced"
    require: dict[str, Limit] = Field(default_factory=dict)
    ship: str | None = None
    """The level that `gate` judges."""

    @model_validator(mode="after")
    def _sound(self) -> "Recipe":
        if self.reference == AS_GIVEN and self.model.is_checkpoint:
            raise ValueError(f"reference: {AS_GIVEN!r} needs a GGUF file, not a model to convert")
        if self.model.bundle is not None and self.reference != AS_GIVEN:
            raise ValueError(f"reference: of a bundle it is {AS_GIVEN!r}")
        if self.model.bundle is not None and any(level.type for level in self.levels):
            raise ValueError("levels: with a bundle give files; its model is not here to build of")
        return self


PARTS: dict[str, type[BaseModel]] = {
    "model": ModelSource,
    "levels": Level,
    "imatrix": Imatrix,
    "require": Limit,
}
"""Key of a recipe -> the schema of what stands under it."""
