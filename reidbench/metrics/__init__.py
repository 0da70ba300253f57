"""Judgement of scores: pure functions on numpy arrays, with no model and no file in sight."""

from reidbench.metrics.bootstrap import (
    VerificationIntervals,
    bootstrap_auc_drop_patients,
    bootstrap_auc_pairs,
    bootstrap_auc_patients,
    bootstrap_verification_patients,
)
from reidbench.metrics.intervals import Interval, bootstrap_mean_patients
from reidbench.metrics.multilabel import (
    LabelAucs,
    MacroAuc,
    bootstrap_macro_auc_drop_patients,
    bootstrap_macro_auc_patients,
    label_aucs,
)
from reidbench.metrics.retrieval import QueryRanks, ScoreBlock, chance_retrieval, rank_queries
from reidbench.metrics.risk import PatientRisk, RiskSummary, patient_risk, summarize_risk
from reidbench.metrics.similarity import euclidean_scores
from reidbench.metrics.summary import RetrievalSummary, summarize_retrieval
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
    "Interval",
    "LabelAucs",
    "MacroAuc",
    "PatientRisk",
    "QueryRanks",
    "RetrievalSummary",
    "RiskSummary",
    "RocCurve",
    "ScoreBlock",
    "ThresholdMetrics",
    "VerificationIntervals",
    "bootstrap_auc_drop_patients",
    "bootstrap_auc_pairs",
    "bootstrap_auc_patients",
    "bootstrap_macro_auc_drop_patients",
    "bootstrap_macro_auc_patients",
    "bootstrap_mean_patients",
    "bootstrap_verification_patients",
    "chance_retrieval",
    "equal_error_rate",
    "euclidean_scores",
    "label_aucs",
    "patient_risk",
    "rank_queries",
    "roc_auc",
    "roc_curve",
    "summarize_retrieval",
    "summarize_risk",
    "threshold_at_fpr",
    "threshold_metrics",
    "tpr_at_fpr",
    "why_undefined",
]
