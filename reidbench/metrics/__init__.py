"""Judgement of scores: pure functions on numpy arrays, with no model and no file in sight."""

from reidbench.metrics.copies import Nearness, nearness
from reidbench.metrics.dataset_overlap import FalseMatches, patient_pair_maxima, q_values
from reidbench.metrics.intervals import (
    Interval,
    bootstrap_mean_patients,
    effective_number,
    guarded_difference,
    guarded_graded,
    guarded_share,
    wilson_interval,
)
from reidbench.metrics.membership import (
    MembershipIntervals,
    bootstrap_membership,
    epsilon_lower_bound,
    guess_members,
    likelihood_ratios,
    one_run_p_value,
)
from reidbench.metrics.multilabel import (
    LabelAucs,
    MacroAuc,
    bootstrap_macro_auc_drop_patients,
    bootstrap_macro_auc_patients,
    label_aucs,
    label_patients,
)
from reidbench.metrics.rank_correlation import bootstrap_spearman, spearman
from reidbench.metrics.retrieval.gallery_influence import GalleryInfluence
from reidbench.metrics.retrieval.jackknife import Jackknife, jackknife_interval, jackknife_rise, leave_patients_out
from reidbench.metrics.retrieval.query_ranks import QueryRanks
from reidbench.metrics.retrieval.ranking import ScoreBlock, chance_of, chance_retrieval, rank_queries
from reidbench.metrics.retrieval.risk import PatientRisk, RiskSummary, patient_risk, summarize_risk
from reidbench.metrics.retrieval.summary import RetrievalSummary, summarize_retrieval
from reidbench.metrics.similarity import euclidean_scores
from reidbench.metrics.strata import StratumRate, tpr_by_stratum
from reidbench.metrics.verification.all_pairs import AllPairs
from reidbench.metrics.verification.bootstrap import (
    VerificationIntervals,
    bootstrap_auc_drop_patients,
    bootstrap_auc_pairs,
    bootstrap_auc_patients,
    bootstrap_verification_patients,
    why_unbounded,
)
from reidbench.metrics.verification.figures import (
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
from reidbench.metrics.verification.points import RocPoints, bootstrap_roc_patients, roc_points, roc_rates

__all__ = [
    "AllPairs",
    "FalseMatches",
    "GalleryInfluence",
    "Interval",
    "Jackknife",
    "LabelAucs",
    "MacroAuc",
    "MembershipIntervals",
    "Nearness",
    "PatientRisk",
    "QueryRanks",
    "RetrievalSummary",
    "RiskSummary",
    "RocCurve",
    "RocPoints",
    "ScoreBlock",
    "StratumRate",
    "ThresholdMetrics",
    "VerificationIntervals",
    "bootstrap_auc_drop_patients",
    "bootstrap_auc_pairs",
    "bootstrap_auc_patients",
    "bootstrap_macro_auc_drop_patients",
    "bootstrap_macro_auc_patients",
    "bootstrap_mean_patients",
    "bootstrap_membership",
    "bootstrap_roc_patients",
    "bootstrap_spearman",
    "bootstrap_verification_patients",
    "chance_of",
    "chance_retrieval",
    "effective_number",
    "epsilon_lower_bound",
    "equal_error_rate",
    "euclidean_scores",
    "guarded_difference",
    "guarded_graded",
    "guarded_share",
    "guess_members",
    "jackknife_interval",
    "jackknife_rise",
    "label_aucs",
    "label_patients",
    "leave_patients_out",
    "likelihood_ratios",
    "nearness",
    "one_run_p_value",
    "patient_pair_maxima",
    "patient_risk",
    "q_values",
    "rank_queries",
    "roc_auc",
    "roc_curve",
    "roc_points",
    "roc_rates",
    "spearman",
    "summarize_retrieval",
    "summarize_risk",
    "threshold_at_fpr",
    "threshold_metrics",
    "tpr_at_fpr",
    "tpr_by_stratum",
    "why_unbounded",
    "why_undefined",
    "wilson_interval",
]
