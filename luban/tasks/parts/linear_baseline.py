"""The strong simple model for texts: logistic regression over n-grams, solved exactly.

Shapes: N examples, F n-grams, C labels.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from luban.core.contracts import Example, Examples, Record, Tokenizer
from luban.core.progress import doing
from luban.models.linear import Linear, LinearOverNgrams
from luban.tasks.answers.labels import Labels
from luban.tasks.inputs.text_pairs import PairTask

Array: TypeAlias = "np.ndarray[Any, Any]"

_LARGEST = 50_000  #: examples learned from
_SCORES = 10_000_000  #: scores of examples learned from, N * C
_WEIGHTS = 1_500_000  #: weights of kept n-grams, F * C
_MOST = 131_072  #: n-grams kept
_AT_ONCE = 64
_ITERATIONS = 100  #: of the solver
_ANSWERS = ("0", "1")  #: what stands for labels where only characters are learned


class LinearBaseline:
    """Logistic regression over TF-IDF weights of the n-grams of the model ``linear``.

    Solved by L-BFGS in float64 from zero, as scikit-learn solves it, with its ``C`` = 10. It sees
    the text that the tokens of a model stand for, whatever the tokenizer.

    Args:
        train: Encoded training examples: ``input_ids``, ``label``, perhaps ``token_type_ids``.
        tokenizer: What they are encoded with.
        labels: What answers are made of.
        plain: The task over characters that reads the texts; it has not learned.
    """

    def __init__(
        self, train: Examples, tokenizer: Tokenizer, labels: Labels, plain: PairTask
    ) -> None:
        self._train, self._tokenizer, self._labels, self._plain = train, tokenizer, labels, plain
        classes = len(labels.names)
        most = max(2, min(_LARGEST, _SCORES // classes))
        self._chosen = range(0, len(train), max(1, -(-len(train) // most)))
        self._features = max(1, min(_MOST, _WEIGHTS // classes))

    @property
    def told(self) -> str:
        """What it is, for the card."""
        of = f"{len(self._chosen):,} of {len(self._train):,}"
        some = f", learned from {of} training examples" * (len(self._chosen) < len(self._train))
        return (
            "`linear` is a strong simple model to compare with: logistic regression over TF-IDF "
            f"weights of words and of 2 to 5 characters in a row{some}."
        )

    def __call__(self, example: Example) -> Any:
        """Return the prediction for one example."""
        return self.predict_many([example])[0]

    def predict_many(self, examples: Sequence[Example]) -> list[Any]:
        """Return the prediction for each example."""
        weight, bias = self._solution
        features = self._vectors([self._record(example) for example in examples])
        scores = self._labels.scores((torch.sparse.mm(features, weight) + bias).numpy())
        return [self._labels.said(row) for row in scores]

    @cached_property
    def _solution(self) -> tuple[Tensor, Tensor]:
        with doing("fit the simple model"):
            examples = [self._train[at] for at in self._chosen]
            features = self._vectors([self._record(example) for example in examples])
            found = np.stack([np.asarray(example["label"]) for example in examples])
            truth = found if self._labels.several else np.eye(len(self._labels.names))[found]
            wanted = torch.from_numpy(truth.astype(np.float64))
            return solved(features, wanted, several=self._labels.several)

    @cached_property
    def _reader(self) -> tuple[PairTask, LinearOverNgrams]:
        """The task over characters, and the module whose n-grams are kept."""
        records = [self._record(self._train[at]) for at in self._chosen]
        answers = [{**record, "label": _ANSWERS[at % 2]} for at, record in enumerate(records)]
        task = self._plain.learn(answers)  # of the characters alone: labels come in ``_solution``
        model = Linear(features=self._features)
        module = model.build(task.signature())
        model.set_statistics(module, task, task.encode_batch(answers))
        return task, module.eval()

    def _record(self, example: Example) -> Record:
        """Return the texts that the tokens of an example stand for."""
        ids = np.asarray(example["input_ids"])
        types = np.asarray(example.get("token_type_ids", np.zeros(len(ids))))
        first = self._tokenizer.decode(ids[types == 0].tolist())
        if "token_type_ids" not in example:
            return {"text": first}
        return {"text": first, "text_pair": self._tokenizer.decode(ids[types == 1].tolist())}

    @torch.no_grad()
    def _vectors(self, records: Sequence[Record]) -> Tensor:
        """Return the TF-IDF weights of texts, sparse (N, F), float64."""
        task, module = self._reader
        rows: list[tuple[Tensor, Tensor]] = []
        for start in range(0, len(records), _AT_ONCE):
            part = records[start : start + _AT_ONCE]
            examples = task.encode_batch([{**record, "label": _ANSWERS[0]} for record in part])
            for numbers, weights in zip(*module.ngrams(**task.inputs(examples)), strict=True):
                there = weights > 0
                rows.append((numbers[there], weights[there].double()))
        ends = torch.tensor([0, *(len(numbers) for numbers, _ in rows)]).cumsum(0)
        numbers, weights = (torch.cat(parts) for parts in zip(*rows, strict=True))
        with _quiet():
            size = (len(rows), module.ngrams.features + 1)
            return torch.sparse_csr_tensor(ends, numbers, weights, size)


@torch.no_grad()
def solved(
    features: Tensor, wanted: Tensor, *, several: bool, strength: float = 10.0
) -> tuple[Tensor, Tensor]:
    """Return the weights (F, C) and the bias (C,) of a logistic regression.

    They minimise the mean cross-entropy plus |weights|^2 / (2 strength N), as
    ``LogisticRegression(C=strength)`` of scikit-learn does; by L-BFGS from zero.

    Args:
        features: Sparse (N, F), float64.
        wanted: Which labels each example has, 0 or 1, (N, C), float64.
        several: Whether labels are told apart one by one (a sigmoid each), not by a softmax.
        strength: What the losses weigh beside the L2.
    """
    size, decay = len(wanted), 1 / (strength * len(wanted))
    if wanted.shape[1] == 2 and not several:  # one sigmoid, its weights in two halves
        decay *= 2
    with _quiet():
        transposed = features.to_sparse(layout=torch.sparse_coo).t().coalesce().to_sparse_csr()
    weight = torch.zeros(features.shape[1], wanted.shape[1], dtype=torch.float64)
    bias = torch.zeros(wanted.shape[1], dtype=torch.float64)
    solver = torch.optim.LBFGS(
        [weight, bias],
        max_iter=_ITERATIONS,
        history_size=5,
        tolerance_grad=1e-6,
        tolerance_change=1e-12,
        line_search_fn="strong_wolfe",
    )

    def loss() -> Tensor:
        logits = torch.sparse.mm(features, weight) + bias
        if several:
            sums = F.softplus(logits) - wanted * logits
            scores = logits.sigmoid()
        else:
            sums = -wanted * logits.log_softmax(1)
            scores = logits.softmax(1)
        error = (scores - wanted) / size
        weight.grad = torch.sparse.mm(transposed, error) + decay * weight
        bias.grad = error.sum(0)
        total: Tensor = sums.sum() / size + decay / 2 * weight.square().sum()
        return total

    solver.step(loss)  # type: ignore[no-untyped-call]
    return weight, bias


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep torch's notes on sparse tensors from the user: they are new, and not checked."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse (CSR|invariant)")
        yield
