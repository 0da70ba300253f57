"""What leaderboards say of their figures, by track."""

#: The vertical axis of the figure, by track.
UTILITY = {
    "images": "macro AUC of the findings with a classifier trained on the release",
    "model": "macro AUC of the published model's own findings",
}
#: The horizontal axis of the figure, by track.
RISK = {
    "images": "mAP@R over patients of the strongest tested attack",
    "model": "mAP@R over patients of the strongest tested attack on published vectors",
}
CURVE = (
    "Risk, the mAP@R over patients of the strongest tested attack, against utility, the macro AUC of the findings with "
    "a classifier trained on the release: one line per defense, named at its end; their Pareto front; the bands above "
    "and below half of the utility above chance; and by the shape of a point, whether its interval lies in one band. "
    "The tables hold the figures."
)
MODEL_CURVE = (
    "Risk, the mAP@R over patients of the strongest tested attack on published vectors, against utility, the macro AUC "
    "of the published model's own findings: one line per defense, named at its end, and their Pareto front. The tables "
    "hold the figures."
)
#: What stands above the tables, line by line.
INTRODUCTIONS = {
    "images": (
        "Made by `reidbench leaderboard` from the records; do not edit. The strongest attack is the tested one",
        "with the highest figure over the attack ladder (attacker × knowledge × linkage × negatives). It is not an",
        "upper bound: an attack that was not tested may find more. Rows are sorted by its mAP@R, averaged over",
        "patients, the highest risk first: near 1 the AUC tells hardly anything apart, and where one image stands for",
        "a cluster of patients (k-Same) it counts which published images are equal, which is no recognition. Rows that",
        "cannot be told apart from the first of their rank share it (=); in brackets the rank in 95 % of resamples.",
        "Brackets: 95 % interval, over patients, of the strongest seed. AUC: genuine pairs against the same",
        "with second images exchanged, so that no image alone tells anything; literature mostly counts *all pairs*,",
        "which is another estimand, and the one to compare with. *Matched*: impostor pairs of the",
        "same sex, age and view. *Utility*: macro AUC of the findings, tested on the release with a classifier",
        "trained on originals, and with one trained on the release, with its interval. Drops are against the",
        "undefended run; their intervals are paired. *ε*: the formal guarantee for a release whose seed is secret; the",
        "seed of a benchmark run is in its record, so that the run can be repeated. *Diagnosis*: whether the drop of",
        "the utility (release) is below half of what its run's classifier of originals, on one machine the undefended",
        "utility, has above chance with its whole interval,",
        "above it (half or more is lost), or open, as it is without an interval; no row has a tier where the",
        "undefended utility is not shown to be above chance. *Front*: no other row has less risk (mAP@R of the",
        "strongest attack) at as much utility (release). A row that is off the front, but not beyond the intervals of",
        "both differences, is undecided.",
        "Over several seeds figures are means; the strongest attack's has its standard deviation and maximum too.",
    ),
    "model": (
        "Made by `reidbench leaderboard` from the records; do not edit. These defenses publish a model and its vector",
        "of each image, but no image; their figures are not comparable with those of released images. The strongest",
        "attack is the tested one with the highest figure over the attacks on the vectors of test patients, whom no ε",
        "protects. Rows are sorted by its mAP@R, averaged over patients; those that cannot be told apart from the",
        "first of their rank share it (=), with the rank in 95 % of resamples in brackets. It is no bound: an",
        "attack that was not tested may find more. Brackets: 95 %",
        "interval, over patients, of the strongest seed. AUC: genuine pairs against the same with second",
        "images exchanged; literature mostly counts *all pairs*, which is another estimand.",
        "*Utility*: macro AUC of the published model's own",
        "findings. *Membership*: AUC of the better attack in telling training patients from others, in models whose",
        "training patients were drawn at random where a record has these, else in the published one. *ε*: the claim",
        "for a training patient, for a model whose training seed is secret; a benchmark run's seed is in its record,",
        "so that the run can be repeated. *ε, proved*: the lower bound that an audit of the mechanism proves at 95 %",
        "confidence, of the highest bound that it could prove if every guess were right, both at one δ for all rows:",
        "0.1 / number of training patients. The audit cannot contradict a claim above that highest bound, and a bound",
        "of 0 does not prove privacy; behind ∞ stands what the same audit proves of training without privacy. A claim",
        "is compared with its own audit at the claimed δ; if more is proved than",
        "claimed, the row is invalid and its status says why. Drops are against the same model trained without the",
        "defense; their intervals are paired. *Front*: no other row has less risk (mAP@R of the strongest attack) at",
        "as much utility; a row that is off it, but not beyond the intervals of both differences, is undecided. Over",
        "several seeds figures are means,",
        "the strongest attack's has its standard deviation and maximum too, and membership and the proved bound are",
        "the highest.",
    ),
}
