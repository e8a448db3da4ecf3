"""What a newcomer and a librarian read: how to contribute, cite and follow the changes, and the data cards."""

import datetime
import hashlib
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image
from test_environment import project_files

from resnet_lib import load_fashion_mnist
from resnet_lib.data import images as data
from resnet_lib.data import photo

ROOT = Path(__file__).parents[1]
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


# CITATION.cff. cffconvert checks the whole schema, but needs a jsonschema too old for JupyterLab: it was run by hand.

TEXTS = ("cff-version", "message", "title", "type", "version", "abstract", "license", "url", "repository-code")
KEYS = {*TEXTS, "authors", "keywords", "references", "date-released", "identifiers", "contact", "doi"}


def cff_faults(citation: dict[str, Any]) -> Iterator[str]:
    """What version 1.2.0 of the format asks for, as far as this file uses it."""
    missing = {"cff-version", "message", "title", "authors"} - citation.keys()
    if missing or citation.keys() - KEYS:
        yield f"keys that are missing: {missing}, unknown: {citation.keys() - KEYS}"
    for key in citation.keys() & set(TEXTS):
        if not isinstance(citation[key], str) or not citation[key].strip():
            yield f"{key} is no text: {citation[key]!r}"
    if citation.get("cff-version") != "1.2.0" or citation.get("type", "software") not in ("software", "dataset"):
        yield "cff-version is 1.2.0, type is software or dataset"
    for source in (citation, *citation.get("references", ())):
        people = source.get("authors", ())
        if not people or not all({"name"} <= set(one) or {"family-names", "given-names"} <= set(one) for one in people):
            yield f"{source.get('title')}: an author is an entity with a name or a person with family and given names"
    for reference in citation.get("references", ()):
        if not {"type", "title", "authors"} <= reference.keys() or not isinstance(reference.get("year", 0), int):
            yield f"a reference needs type, title and authors, and a year that is a number: {reference}"


CITATION = yaml.safe_load(read("CITATION.cff"))


def test_citation_is_valid() -> None:
    assert list(cff_faults(CITATION)) == []
    assert CITATION["version"] == VERSION
    assert CITATION["authors"] == [{"name": "The project's contributors"}]
    assert not CITATION.keys() & {"doi", "identifiers"}, "there is none"


@pytest.mark.parametrize(
    "change",
    [
        {"message": None},
        {"cff-version": 1.2},
        {"version": 0.1},
        {"authors": []},
        {"authors": [{"family-names": "He"}]},
        {"journal": "CVPR"},
        {"references": [{"type": "article", "title": "A paper"}]},
        {"references": [{"type": "article", "title": "A paper", "authors": [{"name": "A"}], "year": "2016"}]},
    ],
    ids=str,
)
def test_faults_of_a_citation_are_found(change: dict[str, Any]) -> None:
    assert list(cff_faults({**CITATION, **change}))


# CHANGELOG.md


def test_changelog() -> None:
    text = read("CHANGELOG.md")
    versions = re.findall(r"^## \[(\d+\.\d+\.\d+)\] - (\d{4}-\d\d-\d\d)$", text, re.MULTILINE)
    assert versions and versions[0][0] == VERSION
    assert len(versions) == len(re.findall(r"^## (?!\[Unreleased\])", text, re.MULTILINE)), "a section without a date"
    dates = [datetime.date.fromisoformat(date) for _, date in versions]
    assert dates == sorted(dates, reverse=True)
    kinds = set(re.findall(r"^### (.+)$", text, re.MULTILINE))
    assert kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


# CONTRIBUTING.md


def named_files(text: str) -> set[str]:
    """Files and folders that a page names as code: `resnet_lib/models/`, `lab.py`. Patterns (…, NN) are left out."""
    spans = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))
    return {
        span
        for span in spans
        if re.fullmatch(r"\.?[\w-]+(/[\w.-]*)+|[\w-]+\.(py|md|toml|yml|cff)", span) and "NN" not in span
    }


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "docs/accessibility.md", "docs/elsewhere.md"])
def test_files_that_a_page_names_exist(page: str) -> None:
    files = named_files(read(page))
    inside = [
        ROOT,
        ROOT / "resnet_lib",
        *(ROOT / "resnet_lib" / part for part in ("models", "data", "training", "experiments", "teaching", "widgets")),
    ]
    assert len(files) > 3
    files -= {"build/colab/"}  # is made by a command
    assert [file for file in files if not any((folder / file).exists() for folder in inside)] == []


def test_names_of_files_are_found() -> None:
    assert named_files("`lab.py`, `a/b.py`, `a/`, `.ci/run`, `python x.py`, `x.y`, `notebooks/NN_….ipynb`\n") == {
        "lab.py", "a/b.py", "a/", ".ci/run",
    }  # fmt: skip


def test_the_table_of_places_covers_the_project() -> None:
    table = read("CONTRIBUTING.md").partition("## I want to change …")[2].partition("\n## ")[0]
    floors = ("models", "data", "training", "probes", "experiments", "widgets", "teaching")
    for place in ("notebooks/", "docs/glossary.md", "pyproject.toml", *(f"resnet_lib/{floor}/" for floor in floors)):
        assert place in table, place


# Data cards

FASHION_CARD, PHOTO_CARD = (
    read("resnet_lib/data/fashion_mnist/README.md"),
    read("resnet_lib/data/photo/README.md"),
)
CIFAR_CARD = read("docs/data.md").partition("## Data card: CIFAR-10")[2]


@pytest.mark.parametrize("card", [FASHION_CARD, PHOTO_CARD, CIFAR_CARD], ids=["fashion-mnist", "photo", "cifar-10"])
def test_a_card_says_all_of_it(card: str) -> None:
    rows = set(re.findall(r"^\| ([\w ]+) \|", card, re.MULTILINE))
    assert {"What", "Source", "Licence", "Changes"} <= rows
    assert re.search(r"^#+ Known faults$", card, re.MULTILINE) and re.search(r"^#+ Use$", card, re.MULTILINE)


def test_cards_name_the_hashes_that_the_code_checks() -> None:
    assert set(re.findall(r"`([0-9a-f]{64})`", FASHION_CARD)) == set(data.SUBSET_SHA256.values())
    assert set(re.findall(r"`([0-9a-f]{64})`", PHOTO_CARD)) == {photo.PHOTO_SHA256}
    assert re.findall(r"`([0-9a-f]{32})`", CIFAR_CARD) == [data.CIFAR10_MD5]


def test_numbers_of_the_fashion_card() -> None:
    train, test = load_fashion_mnist("train"), load_fashion_mnist("test")
    counts = [f"{count:,}" for split in (train, test) for count in sorted(split.labels.bincount().tolist())]
    assert f"{counts[0]} to {counts[9]} training and {counts[10]} to {counts[19]} test images" in FASHION_CARD
    hashes = [hashlib.sha256(image.numpy().tobytes()).digest() for split in (train, test) for image in split.images]
    assert len(set(hashes)) == len(hashes) == 12_000, "an image stands twice"
    for number, label in ((1111, "T-shirt"), (23, "ankle boot"), (1645, "shirt")):
        assert test.classes[test.labels[number]] == label and f"{number} is called a" in FASHION_CARD
    assert f"{data.FASHION_MEAN[0]:.4f}) / {data.FASHION_STD[0]:.4f}" in FASHION_CARD


def test_size_of_the_photo() -> None:
    with Image.open(photo.PHOTO) as image:
        assert "{} × {} pixels".format(*image.size) in PHOTO_CARD


def test_cifar_10_does_not_ship() -> None:
    assert [path for path in project_files() if path.name.startswith(("cifar-10", "data_batch", "test_batch"))] == []
