"""Tables, figures, leaderboards and comparisons, made from records alone."""
