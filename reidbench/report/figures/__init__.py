"""What records come to: worst cases, drops, ranks, controls, comparisons."""
