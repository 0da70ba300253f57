"""Text of table fields in one form, and what tables write where a value is missing.

Two fields that look alike must be equal: a patient under ``A-1`` with two kinds of hyphen would be in train and in
test. And a word for nobody must not become a patient, or strangers would form genuine pairs.
"""

from __future__ import annotations

import re
import unicodedata

import numpy as np
import pandas as pd

# Where spreadsheets keep a number as text: ="0012", and an apostrophe in front.
_AS_TEXT = re.compile(r'=\s*"(?P<text>[^"]*)"')
_QUOTED = re.compile(r"""(?P<mark>["'])(?P<text>.*)(?P=mark)""")
_DASHES = re.compile(r"[\u2010-\u2015\u2212\ufe58\ufe63\uff0d]")
_BRACKETS = re.compile(r"[(\[{<](?P<text>.*)[)\]}>]")

#: What tables write where a value is missing: small letters, no accents, one blank between words.
MISSING = frozenset(
    word
    for line in (
        # Of programs.
        "nan|-nan|+nan|nan(ind)|-nan(ind)|1.#qnan|1.#ind|-1.#ind|1.#snan|na|n/a|#n/a|#na|n.a.|n.a",
        "n. a.|null|#null!|nul|nil|nat|none|\\n|\\\\n|void|undefined|#value!|#ref!|#name?|#div/0!",
        "#num!|pd.na|np.nan|nothing",
        # English.
        "unknown|unk|unkn|unknwn|undetermined|undeterminable|unspecified|undisclosed",
        "indeterminate|missing|not available|not known|not specified|not recorded|not reported",
        "not provided|not stated|not given|not entered|not disclosed|not applicable",
        "not documented|not mentioned|not assigned|notavailable|notapplicable|notspecified",
        "notknown|unavailable|no data|nodata|no value|no id|no name|noname|no patient",
        "no information|no info|no entry|no record|blank|empty|tbd|tba|to be determined",
        "to be defined|unassigned|unidentified|unnamed|nd|n.d.|n/d|nr|n.r.|n/r|n/k|n.k.|n/s|n.s.",
        "confidential|withheld|redacted|anonymous|anonymized|anonymised|anonymous patient|anon",
        "anonym|anonymize|anonymise|deidentified|de-identified|dummy",
        # German.
        "unbekannt|keine angabe|keine angaben|k.a.|k. a.|k.a|ohne angabe|nicht bekannt",
        "nicht angegeben|nicht verfugbar|fehlt|fehlend|leer|anonymisiert|ohne namen|keine daten",
        "entfallt",
        # Spanish, Portuguese.
        "desconocido|desconocida|desconhecido|desconhecida|sin dato|sin datos|s/d|s.d.",
        "no disponible|ninguno|ninguna|no consta|nulo|vacio|sin nombre|no identificado",
        "no identificada|sin identificar|sin informacion|no informado|no informada|no aplica",
        "anonimo|anonima|anonimizado|sem dados|sem dado|nao disponivel|nao informado",
        "nao informada|ignorado|ignorada|nenhum|vazio|sem informacao|no especificado|no conocido",
        "nao se aplica|n/i|n.i.",
        # French, Italian, Dutch.
        "inconnu|inconnue|non disponible|manquant|manquante|aucun|aucune|vide|non renseigne",
        "non renseignee|sans nom|non precise|anonyme|non connu|sconosciuto|sconosciuta|ignoto",
        "ignota|non disponibile|mancante|nessuno|vuoto|non noto|onbekend|leeg|niet bekend|geen",
        # Others.
        "okand|ukendt|ukjent|tuntematon|nieznany|nieznana|brak|brak danych|neznamy|neznama",
        "ismeretlen|bilinmiyor|necunoscut|неизвестно|неизвестныи|нет|нет данных|αγνωστο|αγνωστος",
        "未知|不明|不详|不詳|无|無|缺失|なし|없음|미상|غير معروف|לא ידוע",
    )
    for word in line.split("|")
)
_PLACEHOLDER = re.compile(r"x{3,}")


def folded(text: str) -> str:
    """A field as it is compared: in Unicode's compatibility form, with one kind of blank and of hyphen.

    Characters that nobody sees (zero-width ones, byte order marks, marks of direction) are removed, as are a
    spreadsheet's ``="0012"`` and quotes or an apostrophe around a value.
    """
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
        text = "".join(sign for sign in text if unicodedata.category(sign) not in ("Cf", "Cc") or sign in "\t\n\r")
        text = _DASHES.sub("-", text)
    text = " ".join(text.split())
    for _ in range(2):
        found = _AS_TEXT.fullmatch(text) or _QUOTED.fullmatch(text)
        text = found["text"].strip() if found else text
    return text[1:].lstrip() if text.startswith("'") else text


def is_missing(text: str) -> bool:
    """Whether a field says nothing, or a usual word for nothing: ``NaN``, ``(null)``, ``sin dato``, ``?``, ``---``."""
    plain = folded(text).casefold()
    if not any(sign.isalnum() for sign in plain):
        return True
    if not plain.isascii():
        plain = "".join(sign for sign in unicodedata.normalize("NFKD", plain) if unicodedata.category(sign) != "Mn")
        plain = unicodedata.normalize("NFC", plain)
    bare = plain.strip("*-?!.,;:_ ")
    spaced = re.sub(r"[\s_\-]+", " ", bare)
    inside = _BRACKETS.fullmatch(bare)
    candidates = {plain, bare, spaced, plain.rstrip(".:;")}
    return (
        not candidates.isdisjoint(MISSING)
        or _PLACEHOLDER.fullmatch(bare) is not None
        or (inside is not None and is_missing(inside["text"]))
    )


def missing(text: pd.Series) -> pd.Series:
    """Where a column says nothing, or one of the usual words for nothing: (N,) bool."""
    codes, unique = pd.factorize(text)
    # Missing values have the code -1, which is the last place.
    table = np.array([*(is_missing(str(value)) for value in unique), True])
    return pd.Series(table[codes], index=text.index, name=text.name)


def studies(text: pd.Series) -> pd.Series:
    """A column of examinations' identifiers as numbers: (N,) float64, NaN where one is missing."""
    codes = pd.factorize(identifiers(text))[0].astype(np.float64)
    return pd.Series(np.where(codes < 0, np.nan, codes), index=text.index, name=text.name)


def identifiers(text: pd.Series) -> pd.Series:
    """A column of patients' or images' identifiers with each in one form (:func:`folded`), NaN where one is missing."""
    codes, unique = pd.factorize(text)
    names = [None if is_missing(str(value)) else folded(str(value)) for value in unique]
    return pd.Series(np.array([*names, None], dtype=object)[codes], index=text.index, name=text.name, dtype=object)
