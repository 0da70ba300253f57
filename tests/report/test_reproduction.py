"""What a reproduction's page says of its recipe."""

from __future__ import annotations

import torch

from reidbench.bundles.bundle import find_bundle, read_bundle
from reidbench.plugins import Registry
from reidbench.report.text.reproduce import setting
from reidbench.settings import make_settings


def test_the_recipe_names_the_bundle_that_attackers_start_from(tmp_path):
    bundle = read_bundle(find_bundle("chestxray14"))
    found = [
        setting(make_settings(Registry(), preset="quick", device=torch.device("cpu"), cache=tmp_path, bundle=start))
        for start in (bundle, None)
    ]
    assert f"images of 96², seed 0. Attackers start from the bundle `chestxray14` ({bundle.digest[:12]})." in found[0]
    assert "images of 64², seed 0. Intervals" in found[1]
