"""What stands on leaderboards beside their tables: words, agreement of two boards, and how files are written."""
