"""The search over alignments, against every alignment there is."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Sequence

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from luban.data.baselines.ngrams import KneserNey
from luban.inference.ctc import Search, _Asked, greedy, merged, prefix_beam

BLANK, OUTPUTS, END = 0, 4, 4


def chances(seed: int, positions: int = 5) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.log(rng.dirichlet(np.full(OUTPUTS, 0.5), positions))


def every_text(logs: np.ndarray) -> dict[tuple[int, ...], float]:
    """The log-probability of each text: of all its alignments."""
    found: dict[tuple[int, ...], float] = {}
    for path in itertools.product(range(OUTPUTS), repeat=len(logs)):
        text = tuple(merged(path, BLANK))
        log = sum(logs[at, output] for at, output in enumerate(path))
        found[text] = float(np.logaddexp(found.get(text, -np.inf), log))
    return found


def language() -> KneserNey:
    rng = np.random.default_rng(1)
    return KneserNey(rng.integers(1, 5, 200), OUTPUTS + 1, order=3)


def test_alignments_are_merged() -> None:
    assert merged([0, 1, 1, 0, 1, 2, 2, 0, 0], BLANK) == [1, 1, 2]
    assert merged([0, 0], BLANK) == []
    assert merged([], BLANK) == []


@pytest.mark.parametrize("seed", range(8))
def test_all_alignments_of_a_text_are_what_ctc_loss_sums(seed: int) -> None:
    logs = chances(seed)
    for text, log in every_text(logs).items():
        loss = F.ctc_loss(
            torch.from_numpy(logs)[:, None],
            torch.tensor([text], dtype=torch.long).reshape(1, -1),
            torch.tensor([len(logs)]),
            torch.tensor([len(text)]),
            blank=BLANK,
            reduction="none",
        )
        assert float(loss) == pytest.approx(-log, abs=1e-9)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize(("weight", "bonus"), [(0.0, 0.0), (0.7, 0.5), (1.5, 2.0)])
def test_a_wide_search_finds_the_best_text(seed: int, weight: float, bonus: float) -> None:
    logs, model = chances(seed), language()

    def asked(text: Sequence[int]) -> np.ndarray:
        return model.following([END, *text])

    def score(item: tuple[tuple[int, ...], float]) -> float:
        text, log = item
        said = sum(asked(text[:at])[token] for at, token in enumerate((*text, END)))
        return float(log + weight * said + bonus * len(text))

    best, log = max(every_text(logs).items(), key=score)
    search = Search(BLANK, 10_000, asked, weight, bonus, END, least=0.0)
    text, mean = search(logs)
    assert tuple(text) == best
    assert mean == pytest.approx(log / len(logs))


def test_a_search_can_beat_the_likeliest_path() -> None:
    """Graves' own example: two alignments of one text outweigh the likeliest one of another."""
    logs = np.log(np.array([[0.6, 0.4], [0.6, 0.4]]))
    assert greedy(logs, BLANK)[0] == []
    assert prefix_beam(logs, Search(BLANK, 2))[0] == [1]


def test_one_beam_without_a_language_model_is_greedy() -> None:
    logs = chances(3, 9)
    text, mean = Search(BLANK)(logs)
    assert text == merged(logs.argmax(1).tolist(), BLANK)
    assert mean == pytest.approx(logs.max(1).mean())


def test_nothing_heard_is_an_empty_text() -> None:
    empty = np.zeros((0, OUTPUTS))
    assert Search(BLANK)(empty) == ([], 0.0)
    assert Search(BLANK, 4)(empty) == ([], 0.0)


def test_unlikely_tokens_are_left_out_but_never_all() -> None:
    logs = np.log(np.full((3, 200), 1 / 200))
    text, mean = Search(BLANK, 4, least=0.1)(logs)
    assert np.isfinite(mean)
    assert len(text) <= 3


def test_what_follows_is_what_texts_are_scored_by() -> None:
    tokens = np.random.default_rng(2).integers(0, 6, 400)
    model, asked = KneserNey(tokens, 7, order=4), np.random.default_rng(3).integers(0, 7, 40)
    again = KneserNey.of(model.arrays())
    nats = model.nats(asked)
    for at in range(len(asked)):
        found = again.following(asked[:at].tolist())
        assert -found[asked[at]] == pytest.approx(nats[at], abs=1e-12)
        assert np.exp(found).sum() == pytest.approx(1)


def test_no_more_is_remembered_than_there_are_beams(monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer of the language model is as large as the vocabulary, and a text has many parts."""
    most, forget = [], _Asked.forget_all_but

    def watched(self: _Asked, texts: Collection[tuple[int, ...]]) -> None:
        forget(self, texts)
        most.append(len(self._known))

    monkeypatch.setattr(_Asked, "forget_all_but", watched)
    search = Search(BLANK, 5, lambda text: np.zeros(OUTPUTS + 1), 0.5, end=END)
    text, _ = prefix_beam(chances(0, positions=60), search)
    assert len(text) > 5
    assert len(most) == 60
    assert max(most) <= 5
