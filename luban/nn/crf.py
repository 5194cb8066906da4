"""A linear chain over tags: neighbouring tags are scored together.

The score of tags y_1..y_n given emissions e is

    start[y_1] + sum_t e_t[y_t] + sum_t transitions[y_{t-1}, y_t] + end[y_n]

and p(y) is its softmax over all C^n sequences (Lafferty et al. 2001; over a bi-LSTM: Huang et al.
2015, 1508.01991). Shapes: B sequences, T positions, C tags. Masks are true at real positions,
which come first in each row; every row has at least one.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class CRF(nn.Module):
    """The learned scores of neighbours, and what follows from them.

    Everything is computed in the precision of the parameters, whatever that of the emissions.
    """

    def __init__(self, num_tags: int) -> None:
        super().__init__()
        self.start_transitions = nn.Parameter(torch.empty(num_tags))
        self.transitions = nn.Parameter(torch.empty(num_tags, num_tags))
        self.end_transitions = nn.Parameter(torch.empty(num_tags))
        self.init_weights()

    @torch.no_grad()
    def init_weights(self) -> None:
        """Draw small scores, so that training starts from the emissions alone."""
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -0.1, 0.1)

    def log_likelihood(self, emissions_BTC: Tensor, tags_BT: Tensor, mask_BT: Tensor) -> Tensor:
        """Return log p(tags) in nats, shape (B,); what stands at masked positions is not read."""
        emissions, mask = self._read(emissions_BTC, mask_BT)
        tags = tags_BT.where(mask, 0)
        first, last = tags[:, 0], tags.gather(1, mask.sum(1, keepdim=True) - 1).squeeze(1)
        each = emissions.gather(2, tags.unsqueeze(2)).squeeze(2).where(mask, 0).sum(1)
        pairs = self.transitions[tags[:, :-1], tags[:, 1:]].where(mask[:, 1:], 0).sum(1)
        score = self.start_transitions[first] + each + pairs + self.end_transitions[last]
        return score - self._partition(self._forward(emissions, mask))

    def marginals(self, emissions_BTC: Tensor, mask_BT: Tensor) -> Tensor:
        """Return p(y_t = c), shape (B, T, C), by forward-backward; masked positions mean nothing.

        It works without gradients: nothing here needs autograd.
        """
        emissions, mask = self._read(emissions_BTC, mask_BT)
        forward = self._forward(emissions, mask)
        backward = [self.end_transitions.expand_as(emissions[:, 0])]
        for t in range(mask.shape[1] - 1, 0, -1):
            ahead = (backward[-1] + emissions[:, t]).unsqueeze(1) + self.transitions
            backward.append(ahead.logsumexp(2).where(mask[:, t, None], backward[-1]))
        return (torch.stack(forward, 1) + torch.stack(backward[::-1], 1)).softmax(2)

    def decode(
        self, emissions_BTC: Tensor, mask_BT: Tensor, penalties: Sequence[Tensor] | None = None
    ) -> list[list[int]]:
        """Return the likeliest tags of each row.

        Args:
            emissions_BTC: Scores of each tag.
            mask_BT: True at real positions.
            penalties: Added to the start, pair and end scores: large negative numbers forbid.
        """
        emissions, mask = self._read(emissions_BTC, mask_BT)
        scores: list[Tensor] = [self.start_transitions, self.transitions, self.end_transitions]
        if penalties is not None:
            scores = [a + b for a, b in zip(scores, penalties, strict=True)]
        return viterbi(emissions, mask, *scores)

    def _read(self, emissions_BTC: Tensor, mask_BT: Tensor) -> tuple[Tensor, Tensor]:
        return emissions_BTC.to(self.transitions.dtype), mask_BT.bool()

    def _forward(self, emissions_BTC: Tensor, mask_BT: Tensor) -> list[Tensor]:
        """Return the log of the summed scores of all beginnings that end in a tag, T of (B, C)."""
        found = [self.start_transitions + emissions_BTC[:, 0]]
        for t in range(1, mask_BT.shape[1]):
            step = (found[-1].unsqueeze(2) + self.transitions).logsumexp(1) + emissions_BTC[:, t]
            found.append(step.where(mask_BT[:, t, None], found[-1]))
        return found

    def _partition(self, forward: list[Tensor]) -> Tensor:
        return (forward[-1] + self.end_transitions).logsumexp(1)


def viterbi(
    emissions_BTC: Tensor, mask_BT: Tensor, start_C: Tensor, pairs_CC: Tensor, end_C: Tensor
) -> list[list[int]]:
    """Return the tags of the highest score (Viterbi 1967), of each row's real positions.

    Args:
        emissions_BTC: Scores of each tag.
        mask_BT: True at real positions.
        start_C: Score of each tag at the beginning.
        pairs_CC: Score of each tag (column) after each other (row).
        end_C: Score of each tag at the end.
    """
    best, back = start_C + emissions_BTC[:, 0], []
    stay = torch.arange(best.shape[1], device=best.device).expand_as(best)
    for t in range(1, mask_BT.shape[1]):
        step, where = (best.unsqueeze(2) + pairs_CC).max(1)
        real = mask_BT[:, t, None]
        best = (step + emissions_BTC[:, t]).where(real, best)
        back.append(where.where(real, stay))
    path = [(best + end_C).argmax(1, keepdim=True)]
    for where in reversed(back):
        path.append(where.gather(1, path[-1]))
    lengths = mask_BT.sum(1).tolist()
    rows = torch.cat(path[::-1], 1).tolist()
    return [row[:length] for row, length in zip(rows, lengths, strict=True)]
