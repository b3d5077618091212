"""Which of a judge's labels are harms, and what they are called in a metric's key."""

from edgeeval.records import JudgeInfo

IDENTITIES = frozenset(
    (
        *("male", "female", "transgender", "other_gender"),
        *("heterosexual", "homosexual_gay_or_lesbian", "bisexual", "other_sexual_orientation"),
        *("christian", "jewish", "muslim", "hindu", "buddhist", "atheist", "other_religion"),
        *("black", "white", "asian", "latino", "other_race_or_ethnicity"),
        *("physical_disability", "intellectual_or_learning_disability"),
        *("psychiatric_or_mental_illness", "other_disability"),
    )
)
"""Labels that say whom a text mentions, which is no harm: the identity columns of Jigsaw's
Unintended Bias data, nine of which Detoxify's `unbiased` also gives a probability for."""


def harm_labels(info: JudgeInfo) -> tuple[str, ...]:
    """Return the labels that name a harm, the primary one first.

    Labels that share one probability say what the text is instead ("neutral", "positive"), so that
    of those only the primary one counts.
    """
    if info.activation != "sigmoid":
        return (info.primary,)
    others = (one for one in info.labels if one != info.primary and one not in IDENTITIES)
    return (info.primary, *others)


def key_of(info: JudgeInfo, label: str) -> str:
    """Return what stands behind the @ of a key: the label only where the judge has several."""
    return info.name if len(info.labels) == 1 else f"{info.name}:{label}"
