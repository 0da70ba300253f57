"""The page of a release's certificate."""

from __future__ import annotations

from typing import Any

import jinja2

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>Release certificate: {{ c.defense.name }}</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 46rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
th { text-align: left; vertical-align: top; padding-right: 1.5rem; font-weight: 600; white-space: nowrap; }
td { overflow-wrap: anywhere; }
</style>
</head>
<body>
<h1>Release certificate</h1>
<p>{{ "{:,}".format(c.images) }} images, published after <strong>{{ c.defense.name }}</strong>:
{{ c.defense.summary }}</p>
<table>
{% for name, value in rows %}<tr><th scope="row">{{ name }}</th><td>{{ value }}</td></tr>
{% endfor %}</table>
<h2>Not checked</h2>
<ul>
{% for item in c.not_checked %}<li>{{ item }}</li>
{% endfor %}</ul>
</body>
</html>
"""


def certificate_page(certificate: dict[str, Any]) -> str:
    """A certificate as an HTML page that stands by itself."""
    environment = jinja2.Environment(autoescape=True, trim_blocks=False)
    return environment.from_string(_PAGE).render(c=certificate, rows=_rows(certificate))


def _rows(certificate: dict[str, Any]) -> list[tuple[str, str]]:
    defense, guarantee, record = certificate["defense"], certificate["guarantee"], certificate["record"]
    options = ", ".join(f"{name} = {value}" for name, value in defense["options"].items()) or "none"
    rows = [
        ("Options", options),
        ("Plugin", f"{defense['distribution']} {defense['version']}"),
        ("Formal guarantee", _guarantee(guarantee)),
        ("Judged by", _record(record)),
        ("Pseudonyms", certificate["pseudonyms"]),
        ("Patients", "not told" if certificate["patients"] is None else f"{certificate['patients']:,}"),
        ("Files", f"{certificate['form']}, {certificate['size']}×{certificate['size']}, 8 bits"),
        ("Header", certificate["header"] or "none: PNG files without text"),
        ("Manifest", ", ".join(certificate["manifest_columns"])),
        ("Noise seed", certificate["seed"]),
        ("SHA-256 of the images", certificate["images_sha256"]),
        ("SHA-256 of the manifest", certificate["manifest_sha256"]),
        ("Made", f"{certificate['created']}, reidbench {certificate['reidbench_version']}"),
    ]
    return [(name, str(value)) for name, value in rows]


def _guarantee(found: dict[str, Any] | None) -> str:
    if found is None:
        return "none"
    secret = "for a release whose seed is secret, as this one's is"
    text = f"{secret}: ε = {found['epsilon']:g}, δ = {found['delta']:g}, for {found['unit']}"
    whole = found.get("whole_image_epsilon")
    # Some units say it themselves.
    return text if whole is None or "whole" in found["unit"] else f"{text}; for a whole image ε = {whole:g}"


def _record(found: dict[str, Any] | None) -> str:
    if found is None:
        return "no benchmark record was given"
    figures = [
        f"{title} {found[name]:.3f}"
        for name, title in (("worst_verification_auc", "AUC"), ("worst_retrieval_map_at_r", "mAP@R"))
        if found[name] is not None
    ]
    return (
        f"record {found['id']} on {found['dataset']} (revision {found['dataset_revision'][:12]}, preset "
        f"{found['preset']}), "
        f"{'on these images' if found['same_images'] else 'not on these images'}; "
        f"strongest attacks: {', '.join(figures) or 'undefined'}"
    )
