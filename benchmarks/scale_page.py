"""The results of scale.py as a page with a picture: CPU time and memory of each step by the number of images."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

COLOURS = ("#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9", "#000000", "#7f7f7f", "#8c564b")
WIDTH, HEIGHT, LEFT, TOP = 360, 300, 60, 40
GAP, KEY = 90, 130


TEXT = """# At full size

A run on generated X-rays with the shape of ChestX-ray14: as many patients with as many images each, in the published
lists for training and test, at 64×64 pixels; and on the first patients of that cohort. Each step has a process of its
own. Seconds are CPU time (user and system) of the whole process, with some seconds for imports and for opening what
the step reads; memory is the largest sum over its processes, of which files that are only mapped can be taken back by
the system. Trainings end after a fixed number of batches, and one attacker on one rung is run: these figures show
growth, and not the time of a whole run. Records, whose figures grow with the square of the test images, and pages are
measured on the smaller cohorts alone (`--all`: on all).

```
python benchmarks/scale_cohort.py FOLDER/whole
python benchmarks/scale.py FOLDER --docs docs
```

![CPU seconds and peak memory of each step by the number of images](scale.svg)

"""


def page(found: Mapping[str, Any], stages: Sequence[str]) -> str:
    """A Markdown page: a row for each step, with seconds, memory and growth between the smallest and the largest."""
    sizes = sorted(found.values(), key=lambda one: one["images"])
    heads = [f"{one['images']:,} images" for one in sizes]
    growth = f"growth for {sizes[-1]['images'] / sizes[0]['images']:.1f} times as many"
    lines = [f"| step | {' | '.join(heads)} | {growth}, seconds | memory |", "| --- " * (len(sizes) + 3) + "|"]
    for stage in stages:
        told = [one["stages"].get(stage) for one in sizes]
        cells = [_cell(one) if one else "not measured" for one in told]
        for field in ("cpu_seconds", "peak_mb"):
            cells.append(f"× {told[-1][field] / max(told[0][field], 0.1):.1f}" if told[0] and told[-1] else "")
        lines.append(f"| {stage} | {' | '.join(cells)} |")
    return TEXT + "\n".join(lines) + "\n"


def _cell(step: Mapping[str, Any]) -> str:
    return f"{step['cpu_seconds']:,.1f} s, {step['peak_mb']:,} MB ({step['mapped_mb']:,} mapped)"


def draw(found: Mapping[str, Any], stages: Sequence[str]) -> str:
    """An SVG of two panels: CPU seconds, and peak memory in MB with a line at 4 GB."""
    sizes = sorted(found.values(), key=lambda one: one["images"])
    parts = [_panel(sizes, stages, "cpu_seconds", "CPU seconds of the process", 0, None)]
    parts.append(_panel(sizes, stages, "peak_mb", "peak memory, MB", WIDTH + GAP, 4000.0))
    across = LEFT + 2 * WIDTH + GAP
    for number, stage in enumerate(stages):
        y, colour = TOP + 10 + 22 * number, COLOURS[number]
        parts.append(
            f'<line x1="{across + 20}" x2="{across + 44}" y1="{y}" y2="{y}" stroke="{colour}" stroke-width="2"/>'
            f'<text x="{across + 50}" y="{y + 4}">{escape(stage)}</text>'
        )
    whole = f"{across + 50 + KEY} {TOP + HEIGHT + 50}"
    style = "font: 12px sans-serif; background: white"
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {whole}" style="{style}">{"".join(parts)}</svg>\n'


def _panel(
    sizes: Sequence[Any], stages: Sequence[str], field: str, title: str, shift: float, limit: float | None
) -> str:
    told = [one["stages"][stage][field] for one in sizes for stage in stages if stage in one["stages"]]
    low = math.floor(math.log10(max(min(told), 1)))
    high = max(math.ceil(math.log10(max(told))), low + 1)
    ends = math.log10(sizes[0]["images"]) - 0.1, math.log10(sizes[-1]["images"]) + 0.1

    def across(images: float) -> float:
        return LEFT + shift + WIDTH * (math.log10(images) - ends[0]) / (ends[1] - ends[0])

    def up(value: float) -> float:
        return TOP + HEIGHT * (1 - (math.log10(max(value, 10**low)) - low) / (high - low))

    parts = [f'<text x="{LEFT + shift}" y="{TOP - 15}" font-weight="bold">{escape(title)}</text>']
    for power in range(low, high + 1):
        y = up(10.0**power)
        parts.append(f'<line x1="{LEFT + shift}" x2="{LEFT + shift + WIDTH}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>')
        parts.append(f'<text x="{LEFT + shift - 8}" y="{y + 4:.1f}" text-anchor="end">{10**power:,}</text>')
    for one in sizes:
        x = across(one["images"])
        parts.append(f'<text x="{x:.1f}" y="{TOP + HEIGHT + 20}" text-anchor="middle">{one["images"]:,}</text>')
    parts.append(f'<text x="{LEFT + shift + WIDTH / 2}" y="{TOP + HEIGHT + 40}" text-anchor="middle">images</text>')
    if limit is not None and math.log10(limit) <= high:
        y = up(limit)
        parts.append(
            f'<line x1="{LEFT + shift}" x2="{LEFT + shift + WIDTH}" y1="{y:.1f}" y2="{y:.1f}" stroke="#c00" '
            'stroke-dasharray="5 4"/>'
        )
    for number, stage in enumerate(stages):
        points = [(across(one["images"]), up(one["stages"][stage][field])) for one in sizes if stage in one["stages"]]
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{COLOURS[number]}" stroke-width="2"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{COLOURS[number]}"/>' for x, y in points]
    return "".join(parts)
