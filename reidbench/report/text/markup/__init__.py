"""How text is written: Markdown, CSV, and tables of a terminal."""
