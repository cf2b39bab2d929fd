"""Names, genders, stems and sequences of the pictures, from the records of ``emoji.json``."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Record = dict[str, Any]

_TABLE = json.loads(Path(__file__).with_name("names.json").read_text(encoding="utf-8"))
_MALE, _FEMALE = "-200D-2642-FE0F", "-200D-2640-FE0F"
_PERSON_WORDS = frozenset(["man", "woman", "person", "boy", "girl", "men", "women", "people"])
_HOURS = ["twelve", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven"]
_MOONS = [f"{code:X}" for code in range(0x1F311, 0x1F319)]


@dataclass(frozen=True)
class Naming:
    """What one base emoji is called and which others it belongs with."""

    name: str
    stem: str
    gender: str
    gender_group: str | None
    sequence: str | None
    index: int | None


def name_bases(records: list[Record]) -> dict[str, Naming]:
    """Return the naming of every base, by its ``unified`` id.

    The stem is the name without gender words (and without "facing right", which is a mirrored drawing),
    so that all drawings of one subject share it. A neutral base whose own name differs from that of its
    gendered variants ("happy person raising one hand") takes theirs ("person raising hand").
    """
    names = {record["unified"]: _plain_name(record) for record in records}
    groups = _gender_groups(names)
    place = {base: (group, gender) for group, bases in groups.items() for gender, base in bases.items()}
    result = {}
    for record in records:
        base = record["unified"]
        group, gender = place.get(base, (None, "none"))
        name, stem = names[base], _stem(names[base], record)
        if group in _TABLE["gender_groups"]:
            stem = group
        elif group is not None:
            stem = _stem(names[groups[group]["man"]], record)
            if gender == "person" and base not in _TABLE["names"] and stem != _stem(name, record):
                name = f"{'people' if names[groups[group]['man']].startswith('men ') else 'person'} {stem}"
        if gender == "none" and record["subcategory"] != "family":
            gender = next((word for word in ("man", "woman", "person") if word in name.split()), "none")
        result[base] = Naming(name, stem, gender, group, *_sequence(base, name))
    return result


def _gender_groups(names: dict[str, str]) -> dict[str, dict[str, str]]:
    """Return group -> gender -> base for every subject drawn at least as man and as woman."""
    groups: dict[str, dict[str, str]] = {key: dict(value) for key, value in _TABLE["gender_groups"].items()}
    listed = {base for bases in groups.values() for base in bases.values()}
    for base in names:
        candidates = {
            base.replace(_MALE, "").replace(_FEMALE, ""): (_MALE in base, _FEMALE in base),
            re.sub("^1F46[89]-200D-", "1F9D1-200D-", base): (base[:5] == "1F468", base[:5] == "1F469"),
        }
        for neutral, (is_man, is_woman) in candidates.items():
            if base in listed or not (is_man or is_woman) or base.count("1F46") > 1 or neutral == base:
                continue
            members = groups.setdefault(neutral, {})
            members["man" if is_man else "woman"] = base
            if neutral in names:
                members["person"] = neutral
    return {key: bases for key, bases in groups.items() if {"man", "woman"} <= set(bases)}


def _plain_name(record: Record) -> str:
    """Return the Unicode name as lower-case words one would say."""
    base, name = record["unified"], record["name"].lower().replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")
    if base in _TABLE["names"]:
        return str(_TABLE["names"][base])
    if record["subcategory"] in ("country-flag", "subdivision-flag"):
        return f"flag of {name.removesuffix(' flag')}"
    if record["category"] == "People & Body":
        name = name.removesuffix(" sign")
    if record["subcategory"] == "sky & weather":
        name = name.removesuffix(" symbol")
    if hour := re.fullmatch(r"clock face (\w+)( oclock|-thirty)", name):
        return f"clock at half past {hour[1]}" if hour[2] == "-thirty" else f"clock at {hour[1]} o'clock"
    if look := re.fullmatch(r"(man|woman|person): (.+)", name):
        return f"bald {look[1]}" if look[2] == "bald" else f"{look[1]} with {look[2]}"
    if pair := re.fullmatch(r"(kiss|couple with heart): (\w+), (\w+)", name):
        who = {"man": "two men", "woman": "two women"}[pair[2]] if pair[2] == pair[3] else "woman and man"
        return f"{who} kissing" if pair[1] == "kiss" else f"{who} with heart"
    if family := re.fullmatch(r"family: (.+), (\w+)", name):
        return f"family of {family[1]} and {family[2]}"
    return name.replace("\N{MINUS SIGN}", "-").removeprefix("squared ")


def _stem(name: str, record: Record) -> str:
    """Return ``name`` without the words that differ between drawings of one subject."""
    if record["subcategory"] == "family" or record["short_name"].startswith("family"):
        families = {"holding": "holding hands", "kissing": "couple kissing", "heart": "couple with heart"}
        return next((stem for word, stem in families.items() if word in name), "family")
    words = [word for word in name.removesuffix(" facing right").split() if word not in _PERSON_WORDS]
    return " ".join(words) or name


def _sequence(base: str, name: str) -> tuple[str | None, int | None]:
    """Return the sequence a base belongs to and its place: half hours from twelve, moon phases from new."""
    if base in _MOONS:
        return "moon", _MOONS.index(base)
    if name.startswith("clock at "):
        return "clock", 2 * _HOURS.index(name.split()[4 if "half past" in name else 2]) + ("half past" in name)
    return None, None
