"""Networks and their training, shared by attackers and by the diagnostic classifier."""
