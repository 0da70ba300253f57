"""Writes pages: a whole site from many records, or the page of one record beside it."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup, escape
from PIL import Image

from reidbench import __version__
from reidbench.image_grid import GridRow, draw_grid
from reidbench.progress import Progress, Silent
from reidbench.records.schema import Record
from reidbench.report.figures.board.ranks import read_influences
from reidbench.report.figures.controls import BoardControls, board_controls
from reidbench.report.figures.origins import origins
from reidbench.report.figures.paired.drops import Drops, paired_drops
from reidbench.report.figures.paired.matching import Kept
from reidbench.report.figures.titles import Titles
from reidbench.report.site.board import TRACKS, Board, boards
from reidbench.report.site.page_workers import make_pages
from reidbench.report.site.record_page import record_context
from reidbench.report.site.staging import ASSETS, Staged, staging
from reidbench.report.text.board.sentences import board_sentences
from reidbench.studies.example_images import ExampleImages, ExampleSource

STATIC = ("style.css", "table.js", "labels.js", "charts.js")
PLOTLY = "plotly.min.js"
# Files that `reidbench explain` may have written beside a record.
ATTENTION = (".attention.webp", ".attention.png")
_GAP = 4


def write_site(
    kept: Sequence[Kept], folder: Path, examples: ExampleSource, progress: Progress | None = None
) -> list[Path]:
    """Writes a site of these records: an index, one page per leaderboard and per record, scripts and styles.

    Args:
        kept: the records with their paths; scores beside them give curves.
        folder: of the site; pages of the same name are replaced.
        examples: the source of images before and after, where they may be shown.

    Returns:
        The pages.

    Raises:
        ReidbenchError: a file cannot be written, or a page would replace a file that is none.
    """
    progress, titles = progress or Silent(), Titles(examples.registry)
    drops = paired_drops(kept, progress)
    made = boards([one.record for one in kept], drops, read_influences(kept))
    board_of = {record.id: board for board in made for line in board.lines for record in line.row.records}
    index = {"boards": made, "tracks": TRACKS, "sentences": {one.slug: _sentences(one, examples) for one in made}}
    with staging() as staged:
        pages = _Pages(folder, "", staged)
        written = [pages.write("index.html", "index.html", **index)]
        pages.assets(folder / ASSETS)
        below = pages.below("boards")
        for board in made:
            written.append(
                below.write(f"{board.slug}.html", "board.html", board=board, columns=board.columns, tracks=TRACKS)
            )
        # Here and not in each process that makes pages: a defense whose source does not state its defaults is imported.
        named = {one.record.id: titles.of(one.record) for one in kept}

        def make(one: Kept, into: Staged, source: ExampleSource) -> Path:
            record = one.record
            own = _Pages(folder, "", into).below("records")
            return _record_page(one.whole(), kept, own, source, named[record.id], board_of[record.id], drops)

        with progress.task("pages of records", len(kept)) as advance:
            for page in make_pages(kept, staged, examples, make):
                written.append(page)
                advance(1)
        staged.save()
    return written


def write_pages(kept: Sequence[Kept], folder: Path | None, examples: ExampleSource) -> list[Path]:
    """Writes the page of each record, beside it or into ``folder``.

    Returns:
        The pages.

    Raises:
        ReidbenchError: as of :func:`write_site`.
    """
    written, titles = [], Titles(examples.registry)
    with staging() as staged:
        for one in kept:
            pages = _Pages(folder or one.path.parent, "", staged)
            pages.assets(pages.folder / ASSETS)
            written.append(_record_page(one, kept, pages, examples, titles.of(one.record), None, None))
        staged.save()
    return written


def _record_page(
    one: Kept,
    everything: Sequence[Kept],
    pages: _Pages,
    examples: ExampleSource,
    title: str,
    board: Board | None,
    drops: Drops | None,
) -> Path:
    record = one.record
    copy = pages.folder / f"{record.stem}.json"
    if copy.resolve() != one.path.resolve():
        pages.put(copy, one.path.read_bytes())
    baseline = next((other for other in everything if other.record.id == record.baseline_id), None)
    if baseline is None:
        baseline = one.baseline_kept()
    found = examples.find(record, one.path.parent)
    image = None
    if isinstance(found, ExampleImages):
        image = f"{record.stem}.png"
        _draw(found, pages, pages.folder / image)
    attention = None
    names = (one.path.with_name(f"{record.stem}{ending}") for ending in ATTENTION)
    beside = next((path for path in names if path.is_file()), None)
    # Maps are drawn over images: they are shown only where images may be shown.
    showable = examples.may_show(record)
    if showable and beside is not None:
        attention = beside.name
        if (pages.folder / attention).resolve() != beside.resolve():
            pages.put(pages.folder / attention, beside.read_bytes())
    others = {other.record.id: other.record for other in everything}
    linked = baseline is not None and baseline.record.id in others
    if baseline is not None:
        others[baseline.record.id] = baseline.record
    controls = board_controls([record], list(others.values()))
    return pages.write(
        f"{record.stem}.html",
        "record.html",
        **record_context(one, baseline, title, drops),
        image=image,
        attention=attention,
        showable=showable,
        examples=found,
        problems=controls.of(record),
        controls=_came_out(controls, record),
        board=board,
        baseline_page=f"{baseline.record.stem}.html" if baseline is not None and linked else None,
    )


class _Pages:
    """Templates to files of one folder, which wait until all are made.

    Args:
        folder: where the pages go.
        root: relative path from there to the root of the site, which contains the files that all pages share.
    """

    def __init__(self, folder: Path, root: str, staged: Staged) -> None:
        self.folder = folder
        self._root = root
        self._staged = staged

    def below(self, name: str) -> _Pages:
        """The pages of a subfolder, which are saved with these."""
        return _Pages(self.folder / name, "../", self._staged)

    def write(self, name: str, template: str, **context: Any) -> Path:
        """Makes a page."""
        path = self.folder / name
        text = _environment().get_template(template).render(root=self._root, **context)
        self.put(path, text.encode("utf-8", errors="replace"))
        return path

    def put(self, path: Path, content: bytes) -> None:
        """Makes a file."""
        self._staged.put(path, content)

    def assets(self, folder: Path) -> None:
        """Makes style and scripts, once for all pages; plotly.js is copied from the plotly package."""
        if folder / STATIC[0] in self._staged.files:
            return
        here = resources.files("reidbench.report.site") / "static"
        for name in STATIC:
            self.put(folder / name, (here / name).read_bytes())
        source = resources.files("plotly") / "package_data" / PLOTLY
        target = folder / PLOTLY
        with resources.as_file(source) as path:
            if not target.is_file() or target.stat().st_size != path.stat().st_size:
                self.put(target, path.read_bytes())


@cache
def _environment() -> jinja2.Environment:
    made = jinja2.Environment(
        loader=jinja2.PackageLoader("reidbench.report.site"),
        # Names and texts come from plugins and records and must not be interpreted as markup.
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals |= {"version": __version__, "assets": ASSETS, "plotly": PLOTLY, "origins": origins}
    made.filters["breakable"] = _breakable
    made.policies["json.dumps_function"] = _strict_json
    made.policies["json.dumps_kwargs"] = {"sort_keys": False, "separators": (",", ":")}
    return made


def _strict_json(value: Any, **options: Any) -> str:
    return json.dumps(value, allow_nan=False, **options)


def _breakable(name: str) -> Markup:
    """A name that a narrow column breaks behind an underscore before it breaks a word."""
    return Markup("_<wbr>").join(escape(part) for part in name.split("_"))


def _draw(found: ExampleImages, pages: _Pages, path: Path) -> None:
    """Draws originals above, published images below."""
    # Enlarged by a whole factor, so that a page shows the pixels unchanged.
    width = found.before.shape[-1]
    tile = width * max(1, 128 // width)
    rows = [GridRow(list(images)) for images in (found.before, found.after)]
    sheet = draw_grid(rows, tile=tile, margin=_GAP, resample=Image.Resampling.NEAREST)
    stream = io.BytesIO()
    # Not with optimize=True, which makes files 1.6 % smaller in five times the time: half of that of a page.
    sheet.save(stream, format="PNG")
    pages.put(path, stream.getvalue())


def _came_out(controls: BoardControls, record: Record) -> str:
    """The outcome of the controls beside a record, in a few words; controls hold only if they were run."""
    if controls.failed(record):
        return "INVALID"
    if not controls.apply:
        return "do not apply: a published model's control is its undefended run"
    if controls.missing:
        return f"not run, or not among the records: {', '.join(controls.missing)}"
    return "hold"


def _sentences(board: Board, examples: ExampleSource) -> tuple[str, str]:
    generated = examples.generated(board.any_record)
    return board_sentences(
        [line.row for line in board.lines],
        generated=generated if isinstance(generated, bool) else None,
        reasons=board.controls.reasons,
    )
