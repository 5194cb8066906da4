"""Tags against seqeval, which is by another hand; valid and invalid sequences."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from seqeval.scheme import BILOU, IOB1, IOB2, IOBES, Tokens

from luban.data.text.tagging import (
    SCHEMES,
    Entity,
    Scheme,
    entities_of,
    fault,
    follows,
    forbidden,
    labels_of,
    mended,
    parsed,
    tags_of,
)

THEIRS = {"bio": IOB2, "iob1": IOB1, "bioes": IOBES}


def theirs(tags: list[str], scheme: Scheme) -> list[Entity]:
    return [(e.tag, e.start, e.end) for e in Tokens(tags, THEIRS[scheme]).entities]


def any_tags(prefixes: str) -> st.SearchStrategy[list[str]]:
    tags = ["O", *(f"{prefix}-{kind}" for prefix in prefixes for kind in ("X", "Y-Z"))]
    return st.lists(st.sampled_from(tags), min_size=1, max_size=9)


@st.composite
def spans(draw: st.DrawFn) -> tuple[list[Entity], int]:
    """Entities that do not overlap, and the length they stand in."""
    found: list[Entity] = []
    at = 0
    for gap, size, kind in draw(
        st.lists(st.tuples(st.integers(0, 2), st.integers(1, 3), st.sampled_from("XY")))
    ):
        found.append((kind, at + gap, at + gap + size))
        at += gap + size
    return found, at + draw(st.integers(0, 2))


@given(any_tags("BI"))
def test_any_bio_is_read_as_seqeval_reads_it(tags: list[str]) -> None:
    assert entities_of(tags, "bio") == theirs(tags, "bio")


@given(any_tags("BIES"))
def test_any_bioes_is_read_as_seqeval_reads_it(tags: list[str]) -> None:
    assert entities_of(tags, "bioes") == theirs(tags, "bioes")


@given(any_tags("BIES"))
def test_bmes_and_bilou_are_spellings_of_bioes(tags: list[str]) -> None:
    def spelled(other: str) -> list[str]:
        return [tag.translate(str.maketrans("BIES", other)) if tag != "O" else tag for tag in tags]

    bilou = [(e.tag, e.start, e.end) for e in Tokens(spelled("BILU"), BILOU).entities]
    assert entities_of(tags, "bioes") == entities_of(spelled("BMES"), "bioes")
    assert entities_of(tags, "bioes") == entities_of(spelled("BILU"), "bioes") == bilou


@pytest.mark.parametrize("scheme", SCHEMES)
@given(given_spans=spans())
def test_entities_come_back_from_their_tags(
    scheme: Scheme, given_spans: tuple[list[Entity], int]
) -> None:
    entities, length = given_spans
    tags = tags_of(entities, length, scheme)
    assert fault(tags, scheme) is None
    assert entities_of(tags, scheme) == mended(tags) == entities
    if tags:
        assert theirs(tags, scheme) == entities


@pytest.mark.parametrize("scheme", SCHEMES)
@given(tags=any_tags("BIES"))
def test_without_a_fault_tags_are_those_of_their_entities(scheme: Scheme, tags: list[str]) -> None:
    """A sequence is valid exactly if writing its entities down again gives it back."""
    valid = fault(tags, scheme) is None
    assert valid == (tags_of(entities_of(tags, scheme), len(tags), scheme) == tags)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_what_is_forbidden_is_what_may_not_follow(scheme: Scheme) -> None:
    labels = labels_of(("X", "Y"), scheme)
    start, pairs, end = forbidden(labels, scheme)
    for i, a in enumerate(labels):
        assert bool(start[i]) == (not follows(("O", ""), parsed(a), scheme))
        assert bool(end[i]) == (scheme == "bioes" and a[0] in "BI")
        for j, b in enumerate(labels):
            alone = fault([a, b], scheme) is None
            assert alone == (not start[i] and not pairs[i, j] and not end[j])


@pytest.mark.parametrize(
    ("tags", "scheme", "place", "why"),
    [
        (["O", "I-X"], "bio", 1, "'O I-X' is no BIO"),
        (["I-X"], "bio", 0, "'I-X' is no BIO at the start"),
        (["B-X", "I-Y"], "bio", 1, "'B-X I-Y' is no BIO"),
        (["S-X"], "bio", 0, "'S-X' does not exist in BIO"),
        (["O", "B-X"], "bioes", 1, "'B-X' is no BIOES at the end"),
        (["O", "B-X"], "iob1", 1, "'O B-X' is no IOB1"),
        (["B-"], "bio", 0, "'B-' is no tag"),
        (["X"], "bio", 0, "'X' is no tag"),
        (["", "O"], "bio", 0, "'' is no tag"),
    ],
)
def test_faults_are_named(tags: list[str], scheme: Scheme, place: int, why: str) -> None:
    found = fault(tags, scheme)
    assert found is not None
    assert found[0] == place
    assert why in found[1]


@pytest.mark.parametrize(
    ("tags", "entities"),
    [
        ("I-X I-X O", [("X", 0, 2)]),
        ("B-X M-X", [("X", 0, 2)]),
        ("M-X E-X B-X E-X", [("X", 0, 2), ("X", 2, 4)]),
        ("B-X I-Y I-Y", [("X", 0, 1), ("Y", 1, 3)]),
        ("E-X E-X", [("X", 0, 1), ("X", 1, 2)]),
        ("S-X I-X", [("X", 0, 1), ("X", 1, 2)]),
    ],
)
def test_broken_tags_are_mended(tags: str, entities: list[Entity]) -> None:
    assert mended(tags.split()) == entities


def test_types_may_hold_signs_and_chinese() -> None:
    assert entities_of(["B-creative-work", "I-creative-work"], "bio") == [("creative-work", 0, 2)]
    assert entities_of(["B_人名", "O"], "bio") == [("人名", 0, 1)]
