"""Bundles: attackers that are trained already, as a folder of weights files with a card that describes them."""
