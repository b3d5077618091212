"""The records that stages exchange: frozen, plain, with one meaning each.

A results document (`Results`, schema `edgeeval/results@1`) is what an evaluation is for: every
report, verdict and exit code is made from it alone.
"""

from dataclasses import dataclass, field
from typing import Literal

RESULTS_SCHEMA = "edgeeval/results@1"
TRIAL = "Limited to"
"""How the watermark of `--limit` begins: what a trial shows is no evidence."""

Direction = Literal["higher", "lower", "zero", "max", "min"]
"""higher, lower: better, compared with the reference; zero: equal to it; max, min: a bound on the
level's own value, where the reference has none."""

Verdict = Literal["pass", "fail", "inconclusive", "not measured"]


@dataclass(frozen=True)
class Provenance:
    """Where a file comes from, and what made it."""

    how: Literal["given", "fetched", "converted", "quantized", "bundled"]
    source: str
    """Path, package, repository or, for a quantized file, the name of the one it was made of."""
    revision: str = ""
    """Commit of the repository."""
    source_sha256: str = ""
    """Of what it was made of."""
    converter: str = ""
    """Which converter made the GGUF file of a checkpoint."""
    engine: str = ""
    """Whose quantizer wrote it: package and hash of the libraries."""
    options: str = ""
    """What differs from llama.cpp's own mixture of types."""
    imatrix_sha256: str = ""


@dataclass(frozen=True)
class Artifact:
    """A GGUF file and what is known of it."""

    name: str
    """The level's name in every table."""
    path: str
    """The file; of a split one, the first. In results its name alone: where it lay is nobody's
    business, and the same evaluation elsewhere gives the same document."""
    sha256: str
    """Of the file; of a split one, over the hashes of its parts."""
    size_bytes: int
    architecture: str
    label: str
    """What the file says it is (`general.file_type`), such as Q4_K_M."""
    n_params: int
    bpw: float
    """Bits per weight over all tensors, effective."""
    type_shares: dict[str, float]
    """Tensor type -> share of the parameters, largest first."""
    fallback_share: float
    """Share of the parameters that the quantizer stored in another type than the label's, because
    their rows cannot be cut into the label's blocks."""
    fallback_types: dict[str, float]
    """What they fell back to: tensor type -> share of the parameters."""
    weights_sha256: str
    """Over hyperparameters, tensor table and tensor data: equal files compute the same."""
    vocabulary_sha256: str
    """Over the token list; empty without one."""
    tokenizer_sha256: str
    """Over tokens, kinds, scores, merges and the names of model and pre-tokenizer."""
    chat_template_sha256: str
    """Empty without a template."""
    imatrix: str
    """What the file says of the imatrix that it was quantized with; empty if nothing."""
    source: str
    """Where it came from: "dequantized from Q4_1", "quantized from BF16", "given"."""
    provenance: Provenance


@dataclass(frozen=True)
class Estimate:
    """A number with its interval (95 %, two-sided)."""

    value: float | None
    """None where it is undefined; `reason` says why."""
    lower: float | None
    upper: float | None
    n: int
    """Items (for lm.*: scored tokens; for cost.*: repetitions)."""
    method: str
    """How the interval was made, one method a metric, fixed in advance."""
    reason: str = ""


@dataclass(frozen=True)
class Delta:
    """Level minus reference, paired by item."""

    value: float | None
    lower: float | None
    upper: float | None
    n: int
    method: str
    reason: str = ""
    p_pass: float | None = None
    """p of "worse than the margin": small is evidence for pass. None without a requirement."""
    p_fail: float | None = None
    """p of "within the margin": small is evidence for fail."""


@dataclass(frozen=True)
class Requirement:
    """What a metric must keep for its level to pass."""

    metric: str
    """Metric id or key."""
    kind: Literal["margin", "max", "min"]
    limit: float
    source: str
    """Who set it: "policy balanced", "suite quick (policy lenient)", "recipe"."""


@dataclass(frozen=True)
class MetricResult:
    """One metric of one level."""

    key: str
    """`id[/set][@judge[:label]]`."""
    title: str
    """A short name that a reader understands."""
    unit: str
    """"share", "nats/token", "tokens/s", "bytes", "ratio", ..."""
    direction: Direction
    value: float | None
    """The level's own, as in `Estimate`; so are the next four."""
    lower: float | None
    upper: float | None
    n: int
    method: str
    delta: Delta | None = None
    """None for metrics that compare by themselves (KLD, flips) or need no reference (size)."""
    by_group: dict[str, Estimate] = field(default_factory=dict)
    """"subject=biology" -> the level's own value there. Exploratory."""
    delta_by_group: dict[str, Delta] = field(default_factory=dict)
    by_set: dict[str, Estimate] = field(default_factory=dict)
    by_threshold: dict[str, Estimate] = field(default_factory=dict)
    """"0.3" -> the level's own value if a judge's score counted from there on. Exploratory."""
    delta_by_threshold: dict[str, Delta] = field(default_factory=dict)
    requirement: Requirement | None = None
    p_pass: float | None = None
    """p of "worse than required": small is evidence for pass. None without a requirement."""
    p_fail: float | None = None
    """p of "as good as required": small is evidence for fail."""
    verdict: Verdict | None = None
    """None where nothing is required."""
    reason: str = ""
    """Why the verdict is what it is; without one, why the value is undefined."""
    floor: float | None = None
    """What the reference itself changes by under a second batch plan."""
    notes: tuple[str, ...] = ()

    @property
    def estimate(self) -> Estimate:
        """The level's own value with its interval, in one piece."""
        return Estimate(self.value, self.lower, self.upper, self.n, self.method, self.reason)


@dataclass(frozen=True)
class LevelResult:
    """One level: its file, its metrics, its verdict."""

    name: str
    status: Literal["measured", "lost", "same"]
    """lost: it could not be built or measured; same: it computes what another level computes, and
    was not measured twice; `reason` says why, or which."""
    artifact: Artifact | None
    metrics: dict[str, MetricResult] = field(default_factory=dict)
    verdict: Verdict | None = None
    """pass: every requirement passed; fail: one failed; None: nothing was required, or lost."""
    reason: str = ""
    is_pareto: bool = False
    """No measured level is both smaller and closer to the reference (mean KLD)."""
    dominated_by: str = ""
    """Of the levels that are smaller and no worse (mean KLD), the closest to the reference."""


@dataclass(frozen=True)
class Recommendation:
    """The level to ship, and what the answer does not cover."""

    level: str | None
    reason: str
    not_required: tuple[str, ...] = ()
    """Dimensions that were measured and had no say."""
    not_measured: tuple[str, ...] = ()


GateOutcome = Literal["passed", "failed", "inconclusive", "not measured", "lost"]


@dataclass(frozen=True)
class GateCase:
    """One thing that the gate asks of one level."""

    level: str
    key: str
    """Metric; empty where the level as a whole is meant."""
    kind: Literal["requirement", "baseline", "level"]
    """baseline: not worse than the same level of an earlier evaluation."""
    verdict: Verdict | Literal["lost"]
    reason: str
    decides: bool = True
    """Whether the outcome rests on it; a level that the gate does not ask about only informs."""


@dataclass(frozen=True)
class Gate:
    """What a pipeline acts on: text, JSON, JUnit and exit code are made of this one record."""

    level: str | None
    """The level that was judged; None: one passing level is enough."""
    outcome: GateOutcome
    exit_code: int
    reason: str
    cases: tuple[GateCase, ...]
    baseline: str = ""
    """The earlier evaluation that levels were compared with; empty without one."""
    fail_on: tuple[str, ...] = ()
    """Outcomes that count as failed."""
    notes: tuple[str, ...] = ()
    """What a reader of the outcome must know."""


def requirement_cases(level: LevelResult) -> tuple[GateCase, ...]:
    """Return what is asked of a level, from its verdicts; nothing of it can be left out.

    A level without metrics still has a case: what was not measured must not look like a pass.
    """

    def whole(verdict: Verdict | Literal["lost"], reason: str) -> tuple[GateCase, ...]:
        return (GateCase(level.name, "", "level", verdict, reason),)

    if level.status == "lost":
        return whole("lost", level.reason)
    if level.status == "same":
        return whole("not measured", level.reason)
    cases = tuple(
        GateCase(
            level.name, metric.key, "requirement", metric.verdict or "not measured", metric.reason
        )
        for metric in level.metrics.values()
        if metric.requirement is not None
    )
    if not cases:
        return whole("not measured", "nothing is required of it")
    if level.verdict != "pass" and all(case.verdict == "pass" for case in cases):
        cases += whole(level.verdict or "not measured", level.reason)
    return cases


@dataclass(frozen=True)
class PromptSetInfo:
    """A prompt set as it was used."""

    id: str
    kind: str
    version: int
    sha256: str
    licence: str
    authors: str
    n_items: int
    """Items (text: windows) that entered."""
    n_tokens: int
    """Tokens planned: prefilled, without generated ones."""
    limits: str


@dataclass(frozen=True)
class JudgeInfo:
    """A judge whose scores are in the results."""

    id: str
    """What can change one of its scores: its file, its version, its engine."""
    name: str
    kind: str
    """How it judges: gguf, detoxify, profanity, rules."""
    description: str
    labels: tuple[str, ...]
    """What it gives a probability for, in its own order."""
    primary: str
    """The label that speaks for it where one number is wanted."""
    activation: str
    """How its raw outputs become probabilities: sigmoid, each label by itself; softmax, the labels
    share 1; none, it says yes or no."""
    max_tokens: int | None
    """What it reads of a text, special tokens included; None: all of it."""
    floors: tuple["JudgeFloor", ...] = ()
    """How wrong it is, once a data set that it was checked on; empty: nobody knows."""
    conversion_difference: float | None = None
    """Of a judge that was converted: largest difference of a probability from the original's, over
    the probe texts."""
    n_texts: int = 0
    """Different texts that it scored for these results."""
    n_truncated: int = 0
    """Of them, those whose end it did not read."""
    problem: str = ""
    """Why it scored nothing here."""


@dataclass(frozen=True)
class JudgeFloor:
    """How wrong a judge is on texts that people labelled. Whoever uses its scores must know."""

    label: str
    """Which of the judge's labels was checked."""
    threshold: float
    data: str
    """The labelled file's name."""
    data_sha256: str
    positive: str
    """What counted as having the label: "label_gold is hateful"."""
    n: int
    n_positive: int
    auc: Estimate
    precision: Estimate
    sensitivity: Estimate
    """Share of the texts with the label that are found (recall)."""
    false_positive_rate: Estimate
    """Share of the others that are taken for one with it."""
    false_positive_rate_by_group: dict[str, Estimate]
    """"target_ident=women" -> the same there. Groups without texts that lack the label are left
    out."""
    command: str
    """What measures it again."""


@dataclass(frozen=True)
class Environment:
    """What computed the numbers."""

    edgeeval: str
    engine: str
    engine_features: str
    engine_libraries_sha256: str
    engine_extra_bufts: bool
    """Whether llama.cpp's fast weight layouts were on; off where they die on this machine."""
    device: str
    n_threads: int
    n_ubatch: int
    """Physical batch: tokens that the engine computes at once."""
    n_batch: dict[str, int]
    """Prompt set -> its contexts' logical batch, in tokens."""
    block_tokens: int
    """Largest block of a plan: tokens, sequences and multiple-choice items together."""
    block_sequences: int
    block_items: int
    platform: str
    python: str
    cpu: str


@dataclass(frozen=True)
class Timings:
    """Where the time went. The only part of the results that differs between equal evaluations
    (beside cost.*).
    """

    created_at: str
    """UTC, ISO 8601."""
    elapsed_s: float
    """Wall time of the computing calls of this evaluation, resumed parts included."""
    native_s: float
    """Of it, seconds inside llama.cpp."""
    native_share: float | None


@dataclass(frozen=True)
class Results:
    """A whole evaluation."""

    name: str
    suite: str
    policy: str
    seed: int
    reference: LevelResult
    levels: tuple[LevelResult, ...]
    recommendation: Recommendation
    watermarks: tuple[str, ...]
    """What every reader must know first: --limit, a reference that was itself quantized, ..."""
    environment: Environment
    judges: tuple[JudgeInfo, ...]
    prompt_sets: tuple[PromptSetInfo, ...]
    timings: Timings
    evidence: str = ""
    """Hash of everything that the numbers were derived from; `edgeeval verify` derives them again
    from the workspace that holds it. Empty in documents that no workspace stands behind."""
    gate: Gate | None = None
    """None: nobody asked for a decision."""
    schema: str = RESULTS_SCHEMA

    @property
    def trial(self) -> str:
        """The watermark of `--limit`, or nothing: a trial can neither recommend nor pass a gate."""
        return next((mark for mark in self.watermarks if mark.startswith(TRIAL)), "")
