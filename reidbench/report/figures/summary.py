"""Summary figures of a record: worst cases, drops against the undefended run, diagnostic utility, guarantee."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from reidbench.records.membership import power_at, proved_at, unclaimed_delta
from reidbench.records.paired.strongest import headline, strongest_retrieval, strongest_verification
from reidbench.records.parts.common import Interval
from reidbench.records.schema import Attack, Classifier, Record, VerificationMetrics
from reidbench.records.supplements.content import source_of

#: The AUC of guessing.
CHANCE_AUC = 0.5
SHORT_LINKAGE = {"original-released": "o→r", "released-released": "r→r"}


@dataclass(frozen=True)
class Worst:
    """The strongest attack of a task, and its figure.

    Attributes:
        figure: AUC or mAP@R with its 95 % interval over patients.
        attack: the attack with this figure.
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
        """The rung in a few characters, with its source where that is a supplement."""
        matched = ", matched" if self.attack.negatives == "matched" else ""
        source = source_of(self.attack)
        return f"{short_rung(self.attack)}{matched}{f' ({source.text})' if source else ''}"


def short_rung(attack: Attack) -> str:
    """``informed o→r, verification``: an attack in a few characters, without the kind of negatives."""
    return f"{attack.knowledge} {SHORT_LINKAGE[attack.linkage]}, {attack.attacker}"


def worst_verification(record: Record, negatives: str | None = None) -> Worst | None:
    """The highest AUC over the ladder; only among pairs with these negatives if they are named. None if undefined.

    Attacks on few impostor pairs are left out if there are others, see
    :func:`reidbench.records.paired.strongest.strongest_verification`.
    """
    return _worst(strongest_verification(record.every_attack, negatives))


def worst_matched(record: Record) -> Worst | None:
    """The highest AUC among impostor pairs of the same sex, age and view."""
    return worst_verification(record, "matched")


def worst_all_pairs(record: Record) -> float | None:
    """The highest AUC over all pairs of test images; None where it is not recorded."""
    found = [a.metrics.auc_all_pairs for a in record.every_attack if isinstance(a.metrics, VerificationMetrics)]
    return max((value for value in found if value is not None), default=None)


def worst_retrieval(record: Record) -> Worst | None:
    """The highest mAP@R over the ladder, averaged over patients; None if undefined."""
    return _worst(strongest_retrieval(record.every_attack))


#: Known images of a patient in the column of a board.
KNOWN = 4


def several_known(record: Record) -> float | None:
    """The highest Precision@1 over the linkages with four known images a patient; None where it is not recorded."""
    found = [
        one.multi_shot.precision_at_1[str(KNOWN)].value
        for one in record.linkability or ()
        if one.multi_shot is not None and str(KNOWN) in one.multi_shot.precision_at_1
    ]
    return max((value for value in found if value is not None), default=None)


def diagnosed(record: Record, trained_on: str, tested_on: str = "release") -> tuple[str, str]:
    """What the classifier behind a utility was trained and tested on; always originals for a published model."""
    return (trained_on, tested_on) if record.track == "images" else ("originals", "originals")


def utility(record: Record, trained_on: str, tested_on: str = "release") -> Interval | None:
    """Macro AUC of the diagnostic classifier, or of the published model; None where it was not measured."""
    classifier = _classifier(record, trained_on, tested_on)
    return classifier.macro_auc if classifier else None


def utility_fall(record: Record, trained_on: str, tested_on: str = "release") -> Interval | None:
    """Fall of that macro AUC against the classifier of originals on originals; None where it is not recorded."""
    classifier = _classifier(record, trained_on, tested_on)
    return classifier.fall if classifier else None


def stand_in(record: Record) -> str | None:
    """How a run's options fall short of the published method's, in a sentence; None where they do not."""
    published, size = record.defense.published, record.dataset.size
    if not published:
        return None
    options = record.defense.options
    differ = ", ".join(f"{name}={options.get(name)} (published: {value})" for name, value in published.items())
    return f"A stand-in for the published method, and no measure of it: {differ}; images of {size}²."


def too_low(record: Record) -> str | None:
    """That a published break is not among the attacks, in a sentence; None where no such break is known."""
    told = record.defense.unmatched_break
    return told and f"A break is published that no attacker here carries out ({told}): the figures are too low."


def findings_left_out(record: Record) -> str | None:
    """Which findings do not count in the utility, and why, in a sentence; None where all count."""
    utility = record.utility
    if utility is None or not utility.left_out:
        return None
    named = ", ".join(f"{name} ({few.train}, {few.test})" for name, few in utility.left_out.items())
    return (
        f"Findings that do not count in the utility, since fewer than {utility.finding_patients} patients decide them "
        f"in the train or test part (patients there): {named}."
    )


def _classifier(record: Record, trained_on: str, tested_on: str) -> Classifier | None:
    wanted = diagnosed(record, trained_on, tested_on)
    for classifier in record.utility.classifiers if record.utility else ():
        if (classifier.trained_on, classifier.tested_on) == wanted:
            return classifier
    return None


def audited_at(records: Iterable[Record]) -> float:
    """The δ at which the audits of a table are compared: that of a model without a claim.

    The bound that the same guesses prove depends on δ, so that bounds at each model's own δ would not be comparable.
    The common δ must not follow from the claims either: one record with a large δ would reduce the bounds of all rows
    to 0. :func:`contradiction` compares a claim with its own audit.

    Args:
        records: of one table, and so of the same training patients.
    """
    # If records differ, the most patients and so the smallest δ: one record must not weaken the bounds of others.
    return min((unclaimed_delta(record.dataset.patients.get("train", 0)) for record in records), default=0.0)


def contradiction(record: Record) -> str | None:
    """How a model's audit contradicts its claim, in a few words; None if it does not, or there is no claim.

    The comparison is made at the claimed δ, since the bound depends on δ.
    """
    found, claimed = record.membership, record.defense.privacy
    if found is None or claimed is None:
        return None
    lower, _ = proved_at(found, min(max(claimed.delta, 0.0), 1.0))
    # A bound that is proved at a larger δ holds at a smaller one too, and the record may not contain all attempts.
    if found.audit.delta >= claimed.delta:
        lower = max(lower, found.audit.epsilon_lower)
    if lower <= claimed.epsilon:
        return None
    return (
        f"its own audit contradicts its claim for {claimed.unit}: ε ≥ {lower:.3g} is proved at "
        f"{found.audit.level:.0%} confidence and δ = {claimed.delta:.2g}, and ε = {claimed.epsilon:.3g} claimed "
        f"(seed {record.seed})"
    )


def proved(records: Iterable[Record], delta: float) -> tuple[float, str] | None:
    """The highest ε that an audit proves at δ, and a text with what it could have proved; None without an audit.

    The text adds what the same audit proves of training without privacy (``∞:``), where that is measured, and the
    bound if every guess were right.

    Args:
        records: the seeds of a row.
        delta: the same for all rows that are compared, see :func:`audited_at`.
    """
    records = list(records)
    found = [proved_at(record.membership, delta) for record in records if record.membership]
    if not found:
        return None
    lower = max(lower for lower, _ in found)
    text = f"{lower:.3f} of {max(most for _, most in found):.3g} (δ = {delta:g})"
    powers = [power for one in records if one.membership and (power := power_at(one.membership, delta)) is not None]
    return lower, text + (f", ∞: {max(powers):.3g}" if powers else "")


def membership_auc(record: Record) -> float | None:
    """The better membership attack's AUC; None where there was none.

    On models whose training patients were drawn by coins, where the record has these: a difference between the splits
    counts as membership otherwise.
    """
    found = record.membership
    if found is None:
        return None
    attacks = found.drawn.attacks if found.drawn else found.attacks
    known = [attack.auc.value for attack in attacks if attack.attack != "blind" and attack.auc.value is not None]
    return max(known, default=None)


def epsilon(record: Record) -> str | None:
    """The formal guarantee: ε, δ if it is not 0, and the protected unit; None without a guarantee."""
    claimed = record.defense.privacy
    if claimed is None:
        return None
    # ε means little without its δ: ε = 0 with δ = 0.75 is a weak guarantee.
    failing = f", δ = {claimed.delta:g}" if claimed.delta else ""
    return f"{claimed.epsilon:g}{failing} ({claimed.unit})"


def baseline_of(record: Record, records: Iterable[Record]) -> Record | None:
    """The undefended run that the record names, if it is among these."""
    return next((other for other in records if other.id == record.baseline_id), None)


def drop(worst: Worst | None, baseline: Worst | None) -> float | None:
    """The worst case of the undefended run less this one; None if either is missing."""
    return None if worst is None or baseline is None else baseline.value - worst.value


def defense_label(record: Record, *, without: Collection[str] = ()) -> str:
    """Name and options: ``gaussian_noise sigma=0.2``; without options that are not set, and without those named."""
    shown = {name: value for name, value in record.defense.options.items() if value is not None and name not in without}
    options = " ".join(f"{name}={value}" for name, value in shown.items())
    return f"{record.defense.name} {options}".strip()


def _worst(attack: Attack | None) -> Worst | None:
    return Worst(headline(attack), attack) if attack is not None else None
