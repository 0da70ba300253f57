"""What a record comes to: its worst case, its drops against the undefended run, what is left for diagnosis."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from reidbench.records.membership import proved_at, unclaimed_delta
from reidbench.records.parts import Interval
from reidbench.records.schema import Attack, Record, RetrievalMetrics, VerificationMetrics

#: Impostor pairs below which a figure decides no worst case; a false positive rate of 1 % needs as many to be seen.
ENOUGH_PAIRS = 100
#: The AUC of guessing.
CHANCE_AUC = 0.5
SHORT_LINKAGE = {"original-released": "o→r", "released-released": "r→r"}


@dataclass(frozen=True)
class Worst:
    """The strongest attack of a task, and the figure it reached.

    Attributes:
        figure: AUC or mAP@R with its 95 % interval over patients.
        attack: which attacker, on which rung.
    """

    figure: Interval
    attack: Attack

    @property
    def value(self) -> float:
        """The figure itself."""
        assert self.figure.value is not None
        return self.figure.value

    @property
    def rung(self) -> str:
        """The rung in a few characters."""
        matched = ", matched" if self.attack.negatives == "matched" else ""
        return f"{short_rung(self.attack)}{matched}"


def short_rung(attack: Attack) -> str:
    """``informed o→r, verification``: an attack in a few characters, without the kind of negatives."""
    return f"{attack.knowledge} {SHORT_LINKAGE[attack.linkage]}, {attack.attacker}"


def headline(attack: Attack) -> Interval:
    """AUC of a verification attack, mAP@R of a retrieval attack."""
    return attack.metrics.auc if isinstance(attack.metrics, VerificationMetrics) else attack.metrics.map_at_r


def worst_verification(record: Record, negatives: str | None = None) -> Worst | None:
    """The highest AUC over the ladder; only among pairs with these negatives if they are named. None if undefined.

    Kinds of negatives with fewer than :data:`ENOUGH_PAIRS` impostor pairs are passed over where there are others: of
    some dozen attacks, one on so few pairs would come out highest by chance.
    """
    judged = [
        (attack.metrics, attack)
        for attack in record.attacks
        if isinstance(attack.metrics, VerificationMetrics) and negatives in (None, attack.negatives)
    ]
    many = [(figures, attack) for figures, attack in judged if figures.impostor >= ENOUGH_PAIRS]
    return _worst(Worst(figures.auc, attack) for figures, attack in many or judged)


def worst_matched(record: Record) -> Worst | None:
    """The highest AUC among impostor pairs of the same sex, age and view."""
    return worst_verification(record, "matched")


def worst_retrieval(record: Record) -> Worst | None:
    """The highest mAP@R over the ladder; None if undefined."""
    return _worst(
        Worst(attack.metrics.map_at_r, attack)
        for attack in record.attacks
        if isinstance(attack.metrics, RetrievalMetrics)
    )


def diagnosed(record: Record, trained_on: str, tested_on: str = "release") -> tuple[str, str]:
    """What the classifier behind a utility was trained and tested on; a published model, on originals in any case."""
    return (trained_on, tested_on) if record.track == "images" else ("originals", "originals")


def utility(record: Record, trained_on: str, tested_on: str = "release") -> Interval | None:
    """Macro AUC of the diagnostic classifier, or of the published model; None where it was not measured."""
    trained_on, tested_on = diagnosed(record, trained_on, tested_on)
    if record.utility is not None:
        for classifier in record.utility.classifiers:
            if (classifier.trained_on, classifier.tested_on) == (trained_on, tested_on):
                return classifier.macro_auc
    return None


def audited_at(records: Iterable[Record]) -> float:
    """The δ at which the audits of a table are compared: that of a model which claims nothing.

    The same guesses prove more at a smaller δ, so figures at each model's own would not compare. And no claim may
    choose the δ of all: at one that a single record claims too large, no row would be proved anything. A claim is held
    against its own audit by :func:`contradiction`.

    Args:
        records: of one table, and so of the same training patients.
    """
    # Should records differ, the most patients and so the smallest δ: no record takes a proof from another.
    return min((unclaimed_delta(record.dataset.patients.get("train", 0)) for record in records), default=0.0)


def contradiction(record: Record) -> str | None:
    """What a model's own audit proves beyond its claim, in a few words; None where it does not, or nothing is claimed.

    At the δ that is claimed: at another the same guesses prove another ε.
    """
    found, claimed = record.membership, record.defense.privacy
    if found is None or claimed is None:
        return None
    lower, _ = proved_at(found, min(max(claimed.delta, 0.0), 1.0))
    # What is proved at a larger δ holds at a smaller one too, and all that was tried may not be recorded.
    if found.audit.delta >= claimed.delta:
        lower = max(lower, found.audit.epsilon_lower)
    if lower <= claimed.epsilon:
        return None
    return (
        f"its own audit contradicts what it claims for {claimed.unit}: ε ≥ {lower:.3g} is proved at "
        f"{found.audit.level:.0%} confidence and δ = {claimed.delta:.2g}, and ε = {claimed.epsilon:.3g} claimed "
        f"(seed {record.seed})"
    )


def proved(records: Iterable[Record], delta: float) -> tuple[float, str] | None:
    """The highest ε that an audit proves at δ, and as a text with the largest it could; None where there was no audit.

    Args:
        records: the seeds of a row.
        delta: the same for all rows that are compared, see :func:`audited_at`.
    """
    found = [proved_at(record.membership, delta) for record in records if record.membership]
    if not found:
        return None
    lower = max(lower for lower, _ in found)
    return lower, f"{lower:.3f} of {max(most for _, most in found):.3g} (δ = {delta:g})"


def membership_auc(record: Record) -> float | None:
    """The better membership attack's AUC; None where there was none."""
    attacks = record.membership.attacks if record.membership else []
    return max((attack.auc.value for attack in attacks if attack.auc.value is not None), default=None)


def epsilon(record: Record) -> str | None:
    """The formal guarantee: ε, δ where there is one, and whom it protects; None without a guarantee."""
    claimed = record.defense.privacy
    if claimed is None:
        return None
    # ε = 0 with a δ of three quarters is no strong promise.
    failing = f", δ = {claimed.delta:g}" if claimed.delta else ""
    return f"{claimed.epsilon:g}{failing} ({claimed.unit})"


def baseline_of(record: Record, records: Iterable[Record]) -> Record | None:
    """The undefended run that the record names, if it is among these."""
    return next((other for other in records if other.id == record.baseline_id), None)


def drop(worst: Worst | None, baseline: Worst | None) -> float | None:
    """How far the worst case fell from the undefended run's; None if either is missing."""
    return None if worst is None or baseline is None else baseline.value - worst.value


def defense_label(record: Record, *, without: Collection[str] = ()) -> str:
    """Name and options: ``gaussian_noise sigma=0.2``; without options that are not set, and without those named."""
    shown = {name: value for name, value in record.defense.options.items() if value is not None and name not in without}
    options = " ".join(f"{name}={value}" for name, value in shown.items())
    return f"{record.defense.name} {options}".strip()


def _worst(candidates: Iterable[Worst]) -> Worst | None:
    known = [worst for worst in candidates if worst.figure.value is not None]
    return max(known, key=lambda worst: worst.value, default=None)
