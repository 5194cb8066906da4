"""N-grams of tokens by hash, and their TF-IDF weights, as tensor operations alone.

Shapes: B batch, T tokens, W words, F n-grams.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

#: Hashes are polynomials modulo a prime: below 2^62 at each step, so that int64 never overflows.
PRIME, BASE = 2**31 - 1, 1_000_003
#: What a token is to the words of a text: none of it, one of several in a row, a word by itself.
BLANK, PART, WORD = 0, 1, 2
#: The buffers of ``TfidfNgrams`` in the weights of a model that calls it ``ngrams``.
COUNTED = ("ngrams.kinds", "ngrams.folded", "ngrams.numbers", "ngrams.idf")
_POWERS = 64  #: tokens of a word whose order counts


def ngram_hashes(ids_BT: Tensor, mask_BT: Tensor, n: int) -> tuple[Tensor, Tensor]:
    """Return the hash of the n-gram that begins at each position, and whether it is in the text.

    The hash is n BASE^n + sum_j (id_j + 1) BASE^(n-1-j), modulo PRIME.

    Args:
        ids_BT: Shape (B, T), int64, below ``PRIME``.
        mask_BT: Shape (B, T), int64, 0 at padding.
        n: How many tokens.
    """
    length = ids_BT.shape[1]
    ids, mask = F.pad(ids_BT, (0, n - 1)), F.pad(mask_BT, (0, n - 1))
    hashed_BT, inside_BT = torch.full_like(ids_BT, n), torch.ones_like(mask_BT)
    for j in range(n):
        hashed_BT = (hashed_BT * BASE + ids[:, j : j + length] + 1) % PRIME
        inside_BT = inside_BT * mask[:, j : j + length]
    return hashed_BT, inside_BT


def counted(keys_BF: Tensor, mask_BF: Tensor, absent: int) -> tuple[Tensor, Tensor]:
    """Return the distinct keys of each row, (B, F), and how often each occurs, (B, F).

    Rows are filled up with the key 0 that occurs 0 times.

    Args:
        keys_BF: Shape (B, F), int64, below ``absent``.
        mask_BF: Shape (B, F), 0 where there is no key.
        absent: More than any key.
    """
    keys = torch.where(mask_BF > 0, keys_BF, absent).sort(1).values
    first = torch.cat([torch.ones_like(keys[:, :1]), (keys[:, 1:] != keys[:, :-1]).long()], 1)
    place = first.cumsum(1) - 1
    there = keys != absent
    found = torch.zeros_like(keys).scatter(1, place, torch.where(there, keys, 0))
    times = torch.zeros_like(keys).scatter_add(1, place, there.long())
    return found, times


class TfidfNgrams(nn.Module):
    """Which n-grams of words and characters a text has, each with its TF-IDF weight.

    As scikit-learn's ``TfidfVectorizer`` with ``sublinear_tf``: (1 + ln count) * idf, divided by
    the length of that vector; words and characters each have a vector of length 1. N-grams are
    told apart by hash, and those in most training texts are kept. Those of characters (its
    ``char_wb``) have blanks at their ends only.

    Args:
        vocabulary: Number of token ids.
        words: Lengths of n-grams of words.
        characters: Lengths of n-grams of tokens.
        features: How many n-grams are kept; number 0 stands for all others.
        slots: How many hashes there are.
    """

    kinds: Tensor
    folded: Tensor
    numbers: Tensor
    idf: Tensor
    powers: Tensor

    def __init__(
        self,
        vocabulary: int,
        words: Sequence[int],
        characters: Sequence[int],
        features: int,
        slots: int,
    ) -> None:
        super().__init__()
        self.vocabulary, self.features, self.slots = vocabulary, features, slots
        self.words, self.characters = tuple(words), tuple(characters)
        # Until the training split is seen: each token a word of its own, each n-gram weighs 1.
        self.register_buffer("kinds", torch.full((vocabulary,), WORD))
        self.register_buffer("folded", torch.arange(vocabulary))
        numbers = torch.arange(slots, dtype=torch.int32) % features + 1
        self.register_buffer("numbers", numbers)
        self.register_buffer("idf", torch.ones(features + 1))
        powers = [pow(BASE, at, PRIME) for at in range(_POWERS)]
        self.register_buffer("powers", torch.tensor(powers), persistent=False)

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return the numbers of the n-grams of each text, (B, F), and their weights, (B, F).

        Args:
            input_ids: Shape (B, T), padded on the right.
            attention_mask: Shape (B, T), int64, 0 at padding.
            token_type_ids: Shape (B, T), which of two texts (None: the first).
        """
        found, weights = [], []
        for slots_BF, inside_BF in self.hashed(input_ids, attention_mask, token_type_ids):
            numbers_BF = self.numbers[slots_BF].long()
            inside_BF = inside_BF * (numbers_BF > 0).long()
            some_BF, times_BF = counted(numbers_BF, inside_BF, self.features + 1)
            weight = torch.where(times_BF > 0, 1 + times_BF.clamp(min=1).float().log(), 0.0)
            weight = weight * self.idf[some_BF]
            length = weight.square().sum(1, keepdim=True).clamp(min=1e-12).sqrt()
            found.append(some_BF)
            weights.append(weight / length)
        return torch.cat(found, 1), torch.cat(weights, 1)

    def hashed(
        self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None
    ) -> list[tuple[Tensor, Tensor]]:
        """Return the hash of each n-gram, below ``slots``, and whether it is in the text.

        A pair (B, F) and (B, F) of those of words, and one of those of characters.
        """
        kinds_BT = self.kinds[input_ids] * attention_mask
        ids_BT = self.folded[input_ids]
        if token_type_ids is not None:  # of two texts, each has its own words
            ids_BT = ids_BT + self.vocabulary * token_type_ids
        found: list[list[tuple[Tensor, Tensor]]] = []
        if self.words:
            words_BW, mask_BW = _words(ids_BT, kinds_BT, self.powers)
            found.append([ngram_hashes(words_BW, mask_BW, n) for n in self.words])
        if self.characters:
            found.append([_within(ids_BT, kinds_BT, attention_mask, n) for n in self.characters])
        return [
            (
                torch.cat([hashes % self.slots for hashes, _ in some], 1),
                torch.cat([inside for _, inside in some], 1),
            )
            for some in found
        ]

    @torch.no_grad()
    def keep(self, frequencies: Tensor, texts: int) -> None:
        """Keep the n-grams in most texts, each with its inverse document frequency.

        That is ln((1 + texts) / (1 + frequency)) + 1, as scikit-learn's ``smooth_idf`` has it.

        Args:
            frequencies: In how many texts an n-gram of each hash is, int64 (slots,).
            texts: How many texts there are.
        """
        found = frequencies.nonzero()[:, 0]
        order = frequencies[found].sort(descending=True, stable=True).indices
        kept = found[order[: self.features]]
        self.numbers.zero_()
        self.numbers[kept] = torch.arange(1, len(kept) + 1, dtype=torch.int32, device=kept.device)
        self.idf.zero_()
        self.idf[1 : len(kept) + 1] = ((1 + texts) / (1 + frequencies[kept])).log() + 1


def _words(ids_BT: Tensor, kinds_BT: Tensor, powers: Tensor) -> tuple[Tensor, Tensor]:
    """Return the hash of each word of a text, in order, (B, W) with W = T; and a mask.

    A word is a run of parts, or a token that is a word by itself. Its hash is
    1 + sum_j (id_j + 1) BASE^j, modulo PRIME.
    """
    before_BT = F.pad(kinds_BT, (1, -1))
    starts_BT = ((kinds_BT == WORD) | ((kinds_BT == PART) & (before_BT != PART))).long()
    inside_BT = (kinds_BT != BLANK).long()
    place_BT = (starts_BT.cumsum(1) - 1).clamp(min=0)
    here_BT = torch.ones_like(ids_BT).cumsum(1) - 1
    zeros_BW = torch.zeros_like(ids_BT)
    first_BW = zeros_BW.scatter_add(1, place_BT, here_BT * starts_BT)
    at_BT = (here_BT - first_BW.gather(1, place_BT)).clamp(0, len(powers) - 1)
    terms_BT = (ids_BT + 1) * powers[at_BT] % PRIME * inside_BT
    hashed_BW = (zeros_BW.scatter_add(1, place_BT, terms_BT) + 1) % PRIME
    mask_BW = (here_BT < starts_BT.sum(1, keepdim=True)).long()
    return hashed_BW, mask_BW


def _within(ids_BT: Tensor, kinds_BT: Tensor, mask_BT: Tensor, n: int) -> tuple[Tensor, Tensor]:
    """Return hashes of n-grams of tokens as ``ngram_hashes``: blanks stand at their ends only."""
    hashed_BT, inside_BT = ngram_hashes(ids_BT, mask_BT, n)
    length = ids_BT.shape[1]
    filled = F.pad((kinds_BT != BLANK).long(), (0, n - 1))
    for j in range(1, n - 1):
        inside_BT = inside_BT * filled[:, j : j + length]
    if n <= 2:  # of two blanks, or one alone, nothing can be told
        inside_BT = inside_BT * torch.maximum(filled[:, :length], filled[:, n - 1 :][:, :length])
    return hashed_BT, inside_BT


class HashedLinear(nn.Embedding):
    """A linear layer over very many features of which an input has few: weights by feature.

    Called with numbers of features, (B, F), it returns their weights, (B, F, outputs); the
    logits are their weighted sum, plus ``bias``.
    """

    def __init__(self, features: int, outputs: int) -> None:
        super().__init__(features, outputs)
        self.bias = nn.Parameter(torch.zeros(outputs))

    @property
    def out_features(self) -> int:
        """The number of outputs, as that of ``nn.Linear``."""
        return self.embedding_dim

    def reset_parameters(self) -> None:
        """Begin at zero: the loss is convex, and what training leaves out says nothing."""
        nn.init.zeros_(self.weight)
