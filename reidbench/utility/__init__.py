"""What is left for diagnosis: a classifier of the findings, and the likeness of released and original images."""
