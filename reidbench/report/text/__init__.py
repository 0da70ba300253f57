"""Reports as text: terminal tables, Markdown, CSV."""
