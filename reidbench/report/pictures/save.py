"""Pictures written whole or not at all."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from PIL import Image

from reidbench.errors import ReidbenchError

#: How much of a WebP picture's detail is kept; at it, captions of ten pixels still read well.
QUALITY = 80


def save_picture(picture: Image.Image, path: Path) -> None:
    """Writes a PNG, or a WebP where the name ends in ``.webp``; its folder is made where it isn't there.

    Raises:
        ReidbenchError: the file cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix.lower() == ".webp":
            picture.save(temporary, format="WEBP", quality=QUALITY, method=6)
        else:
            picture.save(temporary, format="PNG")
        temporary.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise ReidbenchError(f"{path}: cannot write the picture: {error.strerror}") from error
