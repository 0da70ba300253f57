"""Tables whose sex, age and view are words: read with a count of what was not understood, and views chosen."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field

from reidbench.cohorts.base import Source, Understood
from reidbench.cohorts.sources.file_dataset import FileDataset, HashSplit
from reidbench.cohorts.sources.tables import columns
from reidbench.errors import ReidbenchError

_MEANINGS = {"sex": ("M", "F", "unknown"), "view": ("PA", "AP", "lateral", "unknown")}


class WordedDataset(HashSplit):
    """A table of images whose sex, age and view are words. Lateral views are left out, unless ``views`` says else."""

    copies: Literal["leave_out", "leave_out_similar", "keep"] = Field(
        "leave_out_similar", description=FileDataset.model_fields["copies"].description
    )
    views: str = Field(
        "frontal",
        description="views to take: frontal (all but lateral), all, or some of PA, AP, lateral, unknown joined by |",
    )
    sex_values: str = Field("", description="what values of sex mean, as in 0=F|1=M")
    view_values: str = Field("", description="what values of view mean, as in supine=AP|LL=lateral")
    age_values: str = Field("", description="ages for values that are not numbers, as in >89=90")

    def finished(
        self,
        frame: pd.DataFrame,
        labels: tuple[str, ...],
        notes: list[str],
        named: str,
        root: Path,
        found: Sequence[Understood] = (),
    ) -> Source:
        """The source of a table whose sex, age and view are still words: these read, views and files chosen.

        Args:
            frame: the table, with ``path`` (missing where the file is) and words in ``sex``, ``age`` and ``view``. The
                values of the options ``sex_values`` and so on are exchanged already, where the dataset offers them.
            labels: its findings.
            notes: what is to be said of it so far.
            named: what the rows are, for notes.
            root: the folder, for errors.
            found: what was read of other columns.

        Raises:
            ReidbenchError: no image is left.
        """
        read_of = [*found]
        for column in read_of:
            notes += columns.not_understood(column)
        keep = np.ones(len(frame), dtype=np.bool_)
        for role, read in (("sex", columns.sexes), ("age", columns.years), ("view", columns.views)):
            if role not in frame:
                continue
            words = frame[role]
            frame[role] = read(words)
            read_of.append(columns.understood(role, words, frame[role]))
            hint = f"; {role}_values=VALUE=MEANING|… says what they mean"
            notes += columns.not_understood(read_of[-1], hint)
            if role == "view":
                keep = self._wanted_views(words, frame[role])
        if not keep.all():
            what = "lateral images" if self.views == "frontal" else f"images of other views than {self.views}"
            notes.append(f"{int((~keep).sum()):,} {what} are left out")
            frame = frame[keep].reset_index(drop=True)
            if not frame.empty and self.views == "frontal" and (unknown := int(frame["view"].isna().sum())):
                notes.append(f"{unknown:,} images of unknown view are kept")
            if frame.empty:
                raise ReidbenchError(f"{self.name}: all images are {what}; views=all takes them")
        whole = frame.drop(columns="path")
        frame = frame.dropna(subset="path").reset_index(drop=True)
        if whole.empty:
            raise ReidbenchError(f"{self.name}: the table has no rows")
        if frame.empty:
            raise ReidbenchError(f"{self.name}: {root} holds none of the {len(whole):,} {named}")
        if len(frame) < len(whole):
            absent = len(whole) - len(frame)
            notes.append(f"{absent:,} of {len(whole):,} {named} are not there and are left out")
        return Source(frame, labels, tuple(notes), whole, tuple(read_of))

    def _wanted_views(self, words: pd.Series, views: pd.Series) -> NDArray[np.bool_]:
        lateral = columns.lateral(words)
        if self.views in ("frontal", "all"):
            return np.asarray(~lateral | (self.views == "all"), dtype=np.bool_)
        wanted = {name.strip().lower() for name in self.views.split("|")}
        kinds = {"pa": views == "PA", "ap": views == "AP", "lateral": lateral, "unknown": views.isna() & ~lateral}
        if not wanted <= kinds.keys():
            strange = min(wanted - kinds.keys())
            raise ReidbenchError(
                f"{self.name}: views={self.views}: {strange!r} is none of frontal, all, PA, AP, lateral, unknown"
            )
        return np.asarray(np.logical_or.reduce([kinds[name].to_numpy(dtype=bool) for name in sorted(wanted)]))

    def meanings(self, role: str) -> dict[str, str]:
        """What the option says that values of a column mean.

        Raises:
            ReidbenchError: a meaning is none of the column's.
        """
        given = columns.value_map(f"{role}_values", getattr(self, f"{role}_values"))
        allowed = _MEANINGS.get(role)
        for value, meaning in given.items():
            if allowed and meaning.lower() not in {name.lower() for name in allowed}:
                raise ReidbenchError(
                    f"{self.name}: {role}_values: {value!r} cannot mean {meaning!r}; known: {', '.join(allowed)}"
                )
        return given
