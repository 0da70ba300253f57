"""What a run leaves: the ladder of attacks, the record and its scores, and the figures made of them."""
