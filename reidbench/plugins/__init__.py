"""Plugins: discovery, what their source says without an import, and their typed options."""

from reidbench.plugins.registry import FAMILIES, GROUPS, OTHER, Found, Registry, hookimpl

__all__ = ["FAMILIES", "GROUPS", "OTHER", "Found", "Registry", "hookimpl"]
