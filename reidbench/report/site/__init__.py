"""Pages for a browser, made from records: they open from disk and ask no network."""

from reidbench.report.site.build import write_pages, write_site

__all__ = ["write_pages", "write_site"]
