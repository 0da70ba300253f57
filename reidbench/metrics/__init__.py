"""Judgement of scores: pure functions on numpy arrays, with no model and no file in sight."""

from reidbench.metrics.retrieval import QueryRanks, ScoreBlock, chance_retrieval, rank_queries
from reidbench.metrics.similarity import euclidean_scores
from reidbench.metrics.verification import (
    RocCurve,
    ThresholdMetrics,
    equal_error_rate,
    roc_auc,
    roc_curve,
    threshold_at_fpr,
    threshold_metrics,
    tpr_at_fpr,
    why_undefined,
)

__all__ = [
    "QueryRanks",
    "RocCurve",
    "ScoreBlock",
    "ThresholdMetrics",
    "chance_retrieval",
    "equal_error_rate",
    "euclidean_scores",
    "rank_queries",
    "roc_auc",
    "roc_curve",
    "threshold_at_fpr",
    "threshold_metrics",
    "tpr_at_fpr",
    "why_undefined",
]
