"""Where cohorts come from: one file per dataset, and the generated phantom."""
