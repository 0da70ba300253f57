"""Details behind a record's figures: ROC, rank curve, risk by patient, training."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from reidbench.metrics import RocPoints
from reidbench.records.ladder import LEVELS, level_of
from reidbench.records.paired.strongest import headline
from reidbench.records.parts.training import TrainingInfo
from reidbench.records.schema import Record, RetrievalMetrics
from reidbench.records.scores import RunScores
from reidbench.report.figures.formats import SHOWN_RATES, number
from reidbench.report.figures.paired.matching import key_of
from reidbench.report.figures.summary import worst_retrieval, worst_verification
from reidbench.report.pictures import roc
from reidbench.report.pictures.plots import COLOURS, DASHES, SYMBOLS
from reidbench.report.site import curves
from reidbench.report.site.charts import Chart, Table, band, figure, line, scatter
from reidbench.report.site.ladder import rung_label

# A ladder has dozens of attacks; the weakest do not matter for the worst case.
MOST_CURVES = 12
SHOWN_RANKS = (1, 5, 10, 20, 50)


def roc_charts(record: Record, scores: RunScores, undefended: RunScores | None) -> list[Chart]:
    """ROC curves on a linear and on a logarithmic axis; worst cases have a band and their undefended curve."""
    found = (worst_verification(record, "random"), worst_verification(record, "matched"), worst_verification(record))
    worst = {key_of(w.attack) for w in found if w is not None}
    traces, rows, floor = [], [], 1.0
    guess: list[float] = []
    ranked = sorted(
        (a for a in record.attacks if a.task == "verification"),
        key=lambda a: (key_of(a) not in worst, -(headline(a).value or 0.0)),
    )
    keys = [key_of(a) for a in ranked[:MOST_CURVES]]
    for position, key in enumerate(keys):
        curve = roc.curve(scores, key, runs=roc.BAND_RUNS if key in worst else 0)
        if curve is None:
            continue
        _, _, same = scores.pairs[key.rsplit("/", 1)[1]]
        floor = min(floor, 1 / max(1, int((same == 0).sum())))
        name = key.replace("/", ", ")
        # Entries of the legend switch curves on and off; all of them at once are not readable.
        visible = True if key in worst else "legendonly"
        if key in worst:
            # The band is drawn only where it has ends: a polygon cannot have gaps.
            known = ~np.isnan(curve.low)
            rates, low, high = (side[known].tolist() for side in (curve.fpr, curve.low, curve.high))
            traces.append(band(rates, low, high, position))
        traces.append(line(name, curve.fpr.tolist(), curve.tpr.tolist(), position, visible=visible))
        guess = curve.fpr.tolist()
        rows.append((name, *(_at(curve, rate) for rate in SHOWN_RATES)))
        before = roc.curve(undefended, key, runs=0) if undefended is not None and key in worst else None
        if before is not None:
            same_style = {"dash": "dot", "width": 1.5}
            traces.append(
                line(f"{name}, undefended", before.fpr.tolist(), before.tpr.tolist(), position, line=same_style)
            )
            rows.append((f"{name}, undefended", *(_at(before, rate) for rate in SHOWN_RATES)))
    if not rows:
        return []
    traces.append(line("chance", guess, guess, 6, line={"dash": "longdash", "width": 1}))
    table = Table(("attack", *(f"TPR at {100 * rate:g} % FPR" for rate in SHOWN_RATES)), tuple(rows))
    caption = (
        "Bands: 95 %, each rate by itself, bootstrap over patients "
        f"({roc.BAND_RUNS} resamplings), for the strongest attacks; none where a rate allows fewer than ten impostor "
        "pairs. "
    )
    draw = partial(figure, traces, height=560, yaxis={"title": {"text": "true positive rate"}, "range": [0, 1.01]})
    title = {"text": "false positive rate"}
    linear = draw(xaxis={"title": title, "range": [0, 1]})
    low = max(float(np.log10(floor)), -4.0)
    log = draw(xaxis={"title": title, "type": "log", "range": [low, 0], "dtick": 1})
    return [
        Chart(
            "roc",
            "ROC",
            caption + f"The {len(keys)} strongest attacks; the legend switches them on and off.",
            linear,
            table,
        ),
        Chart(
            "log-roc",
            "ROC at low false positive rates",
            caption + f"There are {round(1 / floor):,} impostor pairs at most: lower rates cannot be told.",
            log,
            table,
        ),
    ]


def rank_chart(record: Record, scores: RunScores, undefended: RunScores | None) -> Chart | None:
    """Cumulative match: share of probes that find their patient within a rank."""
    worst = worst_retrieval(record)
    traces, rows = [], []
    attacks = [a for a in record.attacks if a.task == "retrieval"]
    top = key_of(worst.attack) if worst else None
    attacks.sort(key=lambda a: (key_of(a) != top, -(headline(a).value or 0.0)))
    chance: list[float] = []
    for position, attack in enumerate(attacks[:MOST_CURVES]):
        key = key_of(attack)
        ranks = scores.query_ranks(key)
        if ranks is None or not ranks.asked.any():
            continue
        chance = chance or curves.chance_match(ranks).tolist()
        mine = curves.cumulative_match(ranks).tolist()
        for name, shares, style in _versions(key, mine, undefended if key == top else None):
            places = list(range(1, len(shares) + 1))
            traces.append(line(name, places, shares, position, visible=True if key == top else "legendonly", **style))
            rows.append((name, *_at_ranks(shares)))
    if not rows:
        return None
    traces.append(line("chance", range(1, len(chance) + 1), chance, 6, line={"dash": "longdash", "width": 1}))
    rows.append(("chance", *_at_ranks(chance)))
    spec = figure(
        traces,
        height=480,
        xaxis={"title": {"text": "rank"}},
        yaxis={"title": {"text": "share of probes found"}, "range": [0, 1.01]},
    )
    return Chart(
        "rank-curve",
        "Rank curve (cumulative match)",
        "Share of probes that find an image of their patient at this rank or before. Under ties a rank is an "
        "expectation.",
        spec,
        Table(("attack", *(f"rank {rank}" for rank in SHOWN_RANKS)), tuple(rows)),
    )


def risk_chart(record: Record) -> Chart | None:
    """Distribution over patients of the risk under the strongest retrieval attack."""
    worst = worst_retrieval(record)
    if worst is None or not isinstance(worst.attack.metrics, RetrievalMetrics):
        return None
    risk = worst.attack.metrics.risk
    named = (("best rank", risk.best_rank), ("mean rank", risk.mean_rank), ("mAP@R", risk.map_at_r))
    levels = list(risk.best_rank)
    rows = tuple((name, *(number(values.get(level)) for level in levels)) for name, values in named)
    at = [f"{float(level):.0%}" for level in levels]
    traces = [
        scatter(
            x=at, y=[risk.map_at_r.get(level) for level in levels], name="mAP@R (right axis)", yaxis="y2",
            mode="lines+markers", line={"color": COLOURS[1], "dash": DASHES[1]}, marker={"symbol": SYMBOLS[1]},
        ),
        *(
            scatter(
                x=at, y=[values.get(level) for level in levels], name=name, mode="lines+markers",
                line={"color": COLOURS[i], "dash": DASHES[i]}, marker={"symbol": SYMBOLS[i]},
            )
            for i, (name, values) in ((0, named[0]), (2, named[1]))
        ),
    ]  # fmt: skip
    spec = figure(
        traces,
        xaxis={"title": {"text": "quantile over patients"}, "type": "category"},
        yaxis={"title": {"text": "rank"}, "type": "log", "dtick": 1},
        yaxis2={"title": {"text": "mAP@R"}, "range": [0, 1], "overlaying": "y", "side": "right", "showgrid": False},
        margin={"b": 50, "l": 60, "r": 60, "t": 16},
    )
    every = risk.found_by_every_image.value
    share = "" if every is None else f" {every:.1%} of them are found at rank 1 by every one of their images."
    return Chart(
        "patient-risk",
        "Risk by patient",
        f"{risk.patients} patients, attacked by {rung_label(worst.attack)}. A low rank and a high mAP@R are the "
        f"patients most at risk.{share}",
        spec,
        Table(("quantile", *at), rows),
    )


def loss_chart(record: Record) -> Chart | None:
    """Training losses by epoch, relative to the loss of an uninformed network."""
    traces, rows = [], []
    for position, (name, training) in enumerate(trainings(record).items()):
        history = [epoch for epoch in training.history if epoch.get("train_loss") is not None]
        if not history:
            continue
        # Losses of different objectives have different scales; relative to their uninformed values they have one.
        relative = [_share(epoch) for epoch in history]
        epochs = [float(epoch.get("epoch") or i + 1) for i, epoch in enumerate(history)]
        mode = "lines+markers" if len(history) < 3 else "lines"
        traces.append(line(name, epochs, relative, position, mode=mode))
        rows.append((name, str(training.epochs), f"{relative[0]:.3f}", f"{relative[-1]:.3f}"))
    if not rows:
        return None
    spec = figure(
        traces, height=480, xaxis={"title": {"text": "epoch"}}, yaxis={"title": {"text": "loss / uninformed loss"}}
    )
    return Chart(
        "loss",
        "Loss curves",
        "Training loss relative to the loss of an uninformed network. A curve that stays at 1 shows an attacker that "
        "has learned nothing; its low figures are not evidence of privacy.",
        spec,
        Table(("training", "epochs", "first", "last"), tuple(rows)),
    )


def trainings(record: Record) -> dict[str, TrainingInfo]:
    """Every training of a record once, by a name that states the network and its training data."""
    found: dict[str, TrainingInfo] = {}
    known = set()

    def add(name: str, training: TrainingInfo | None) -> None:
        if training is not None and training.checkpoint_sha256 not in known:
            known.add(training.checkpoint_sha256)
            found[name] = training

    for attack in record.attacks:
        # What does not train on the release is the attacker of originals, though a restoration network may stand before
        # it; a fusion is not trained.
        trains = level_of(attack.knowledge).trains
        name = f"{attack.knowledge}, {attack.linkage}" if trains else LEVELS[0].name
        add(f"{attack.attacker}, {name}", attack.training)
        add("restorer", attack.restoration)
    for classifier in record.utility.classifiers if record.utility else ():
        add(f"classifier, trained on {classifier.trained_on}", classifier.training)
    return found


def _share(epoch: dict[str, float | None]) -> float:
    loss, uninformed = epoch.get("train_loss"), epoch.get("uninformed_loss")
    return float("nan") if loss is None else loss / uninformed if uninformed else loss


def _versions(
    key: str, mine: list[float], undefended: RunScores | None
) -> list[tuple[str, list[float], dict[str, dict[str, object]]]]:
    name = key.replace("/", ", ")
    found: list[tuple[str, list[float], dict[str, dict[str, object]]]] = [(name, mine, {})]
    before = undefended.query_ranks(key) if undefended is not None else None
    if before is not None:
        style: dict[str, object] = {"dash": "dot", "width": 1.5}
        found.append((f"{name}, undefended", curves.cumulative_match(before).tolist(), {"line": style}))
    return found


def _at(curve: RocPoints, rate: float) -> str:
    place = curve.place(rate)
    if np.isnan(curve.low[place]):
        return number(float(curve.tpr[place]))
    return f"{curve.tpr[place]:.3f} [{curve.low[place]:.3f}, {curve.high[place]:.3f}]"


def _at_ranks(shares: Sequence[float]) -> tuple[str, ...]:
    return tuple(number(shares[rank - 1]) if rank <= len(shares) else "–" for rank in SHOWN_RANKS)
