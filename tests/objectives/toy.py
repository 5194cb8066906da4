"""Small modules with a stem and features, and tasks with batches for them, in double precision."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from luban.core.batch import Batch, Losses
from luban.core.contracts import Example, Metric, Record, Signature, TargetSummary, Task
from luban.nn.losses import binary_cross_entropy, cross_entropy, mean_squared_error

WORDS, CLASSES, WIDTH = 19, 3, 6
PAD, END, START, MASK = 0, 1, 2, 3


def ports_of(produces: str, problem: str = "") -> Signature:
    outputs = {"label": CLASSES, "tags": 4, "span": 2}.get(produces, WORDS)
    return Signature("tokens", WORDS, outputs, 12, PAD, END, produces, START, MASK, problem=problem)


class Toy(nn.Module):
    """Embedding, a mix of positions that minds the mask, and a head."""

    def __init__(self, signature: Signature, dropout: float = 0.0, width: int = WIDTH) -> None:
        super().__init__()
        self.signature = signature
        self.stem = nn.Embedding(WORDS, WIDTH)
        self.mix = nn.Linear(WIDTH, width)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(width, signature.outputs)

    def features(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        x = self.stem(input_ids)
        if self.signature.produces == "next":
            shape = torch.arange(1, x.shape[1] + 1, dtype=x.dtype)[:, None]
            context = x.cumsum(1) / shape
        else:
            mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
            mask = mask[..., None].to(x.dtype)
            context = (x * mask).sum(1, keepdim=True) / mask.sum(1, keepdim=True)
        out: Tensor = self.dropout(torch.tanh(self.mix(x * context + x)))
        return out

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        x = self.features(input_ids, attention_mask)
        if self.signature.produces == "label":
            assert attention_mask is not None
            mask = attention_mask[..., None].to(x.dtype)
            x = (x * mask).sum(1) / mask.sum(1)
        out: Tensor = self.head(x)
        return out


class Pair(nn.Module):
    """An encoder and a decoder over one embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Embedding(WORDS, WIDTH)
        self.head = nn.Linear(WIDTH, WORDS)

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, decoder_input_ids: Tensor
    ) -> Tensor:
        mask = attention_mask[..., None].to(self.stem.weight.dtype)
        memory = (self.stem(input_ids) * mask).sum(1, keepdim=True) / mask.sum(1, keepdim=True)
        out: Tensor = self.head(torch.tanh(self.stem(decoder_input_ids) + memory))
        return out


class ToyTask(Task):
    """A task that is its signature and its loss; the batches come ready made."""

    produces: str = "label"
    problem: str = ""

    def signature(self) -> Signature:
        return ports_of(self.produces, self.problem)

    def loss(self, model: nn.Module, batch: Batch) -> Losses:
        logits, labels = model(**batch.inputs), batch.targets["labels"]
        if self.problem == "multi_label_classification":
            return binary_cross_entropy(logits, labels)
        if self.problem == "regression":
            return mean_squared_error(logits[:, 0], labels)
        if self.produces == "span":
            padded = batch.inputs["attention_mask"][..., None] == 0
            return cross_entropy(logits.masked_fill(padded, -1e9).mT, labels)
        return cross_entropy(logits, labels)

    def encode(self, record: Record) -> Example:
        raise NotImplementedError

    def target_summary(self, example: Example) -> TargetSummary:
        raise NotImplementedError

    def collate(self, examples: Sequence[Example]) -> Batch:
        raise NotImplementedError

    def predict(self, model: nn.Module, batch: Batch) -> list[Any]:
        raise NotImplementedError

    def target(self, example: Example) -> Any:
        raise NotImplementedError

    def metrics(self) -> tuple[Metric, ...]:
        return ()


def batch_of(produces: str, problem: str = "", lengths: tuple[int, ...] = (8, 5, 7, 3)) -> Batch:
    """Rows of different lengths, from START to END, with labels of the right form."""
    draw = torch.Generator().manual_seed(3)
    longest = max(lengths)
    ids = torch.full((len(lengths), longest), PAD)
    for row, length in enumerate(lengths):
        ids[row, :length] = torch.randint(4, WORDS, (length,), generator=draw)
        ids[row, 0], ids[row, length - 1] = START, END
    mask = (torch.arange(longest) < torch.tensor(lengths)[:, None]).long()
    inputs = {"input_ids": ids, "attention_mask": mask}
    rows = len(lengths)
    if produces == "next":
        labels = F.pad(ids[:, 1:], (0, 1), value=PAD)
        real = F.pad(mask[:, 1:], (0, 1)).bool()
        return Batch({"input_ids": ids}, {"labels": labels.where(real, -100)})
    if produces == "sequence":
        answer = torch.randint(4, WORDS, (rows, 4), generator=draw)
        inputs["decoder_input_ids"] = F.pad(answer[:, :-1], (1, 0), value=START)
        return Batch(inputs, {"labels": answer})
    if produces in ("tags", "tokens"):
        outputs = ports_of(produces).outputs
        labels = torch.randint(outputs, ids.shape, generator=draw)
        return Batch(inputs, {"labels": labels.where(mask.bool(), -100)})
    if produces == "span":
        return Batch(inputs, {"labels": torch.randint(3, (rows, 2), generator=draw)})
    if problem == "multi_label_classification":
        labels = torch.randint(2, (rows, CLASSES), generator=draw).double()
        return Batch(inputs, {"labels": labels})
    if problem == "regression":
        return Batch(inputs, {"labels": torch.randn(rows, generator=draw).double()})
    return Batch(inputs, {"labels": torch.randint(CLASSES, (rows,), generator=draw)})


def setting(
    produces: str = "label", problem: str = "", dropout: float = 0.0
) -> tuple[ToyTask, nn.Module, Batch]:
    """A task, a module in training mode and a batch."""
    torch.manual_seed(0)
    task = ToyTask(produces=produces, problem=problem)
    module = Pair() if produces == "sequence" else Toy(task.signature(), dropout)
    return task, module.double().train(), batch_of(produces, problem)


def split(batch: Batch) -> list[Batch]:
    return [batch.rows(slice(at, at + 1)) for at in range(len(batch))]


def gradient(module: nn.Module, losses: Losses) -> Tensor:
    module.zero_grad()
    losses.sums.sum().backward()  # type: ignore[no-untyped-call]
    found = [p.grad for p in module.parameters() if p.grad is not None]
    return torch.cat([grad.flatten() for grad in found])
