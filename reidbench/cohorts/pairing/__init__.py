"""Pairs of images that attackers judge: genuine, impostor, matched, or listed in a file."""
