"""Logistic regression over TF-IDF weights of n-grams: the strong simple model for texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from luban.core.contracts import Example, Model, ReadsTokens, Signature, Task, Tokenizer
from luban.core.progress import tracked
from luban.core.sizes import MAX_PARTS, Span
from luban.core.unicode_text import alone, without_signs
from luban.nn.ngrams import BLANK, PART, PRIME, WORD, HashedLinear, TfidfNgrams, counted

_COUNTED = 200_000  #: texts in which n-grams are counted: more would hardly change a weight
_AT_ONCE = 128  #: of them
_UNKNOWN = "\ufffd"  #: what a single byte of a character is decoded to


class Linear(Model):
    """Logistic regression over the words and the n-grams of characters that a text has.

    Each n-gram has one weight per label; what the n-grams of a text say is summed. N-grams are
    found by hash (Weinberger et al. 2009, 0902.2206), so that any may come; each counts by its
    TF-IDF weight. Made for the tokenizer ``char``: words are then runs of letters and digits in
    small letters, as scikit-learn's; tokens of another tokenizer each count as a word.
    """

    accepts: ClassVar[tuple[str, ...]] = ("tokens",)
    produces: ClassVar[tuple[str, ...]] = ("label",)

    words: tuple[Span, ...] = Field(
        default=(1, 2), max_length=MAX_PARTS, description="Words in a row that make an n-gram."
    )
    characters: tuple[Span, ...] = Field(
        default=(2, 3, 4, 5),
        max_length=MAX_PARTS,
        description="Tokens in a row that make an n-gram, without a blank between them.",
    )
    features: int = Field(
        default=131_072,
        ge=1,
        le=PRIME,
        description="N-grams that are kept: those in most training texts.",
    )
    slots: int = Field(
        default=2_097_152, ge=1, le=PRIME, description="Hashes that tell n-grams apart."
    )

    @model_validator(mode="after")
    def _some(self) -> Linear:
        if not self.words and not self.characters:
            raise ValueError("`words` and `characters` are both empty: there are no n-grams")
        for lengths in (self.words, self.characters):
            if len(set(lengths)) < len(lengths):
                raise ValueError("each length once")
        return self

    def build(self, signature: Signature) -> LinearOverNgrams:
        """Return the module; its weights begin at zero.

        Raises:
            RecipeError: if the task is not one over tokens that asks for a label.
        """
        self.check(signature)
        ngrams = TfidfNgrams(
            signature.inputs, self.words, self.characters, self.features, self.slots
        )
        return LinearOverNgrams(ngrams, signature.outputs)

    def set_statistics(self, module: nn.Module, task: Task, train: Sequence[Example]) -> None:
        """Tell the module what is a word, and in how many training texts each n-gram is."""
        if not isinstance(module, LinearOverNgrams) or not isinstance(task, ReadsTokens):
            return  # an adapter stands around it, or it is no task over texts
        ngrams, device = module.ngrams, module.ngrams.idf.device
        ngrams.kinds.copy_(torch.tensor(_kinds(task.tokenizer)))
        ngrams.folded.copy_(torch.tensor(_folded(task.tokenizer)))
        chosen = range(0, len(train), max(1, -(-len(train) // _COUNTED)))
        frequencies = torch.zeros(self.slots, dtype=torch.int64, device=device)
        for start in tracked(range(0, len(chosen), _AT_ONCE), "count n-grams"):
            batch = task.collate([train[i] for i in chosen[start : start + _AT_ONCE]])
            for hashes, inside in ngrams.hashed(**batch.to(device).inputs):
                each, times = counted(hashes, inside, self.slots)
                there = each[times > 0]
                frequencies.scatter_add_(0, there, torch.ones_like(there))
        ngrams.keep(frequencies, len(chosen))

    def flops_per_token(self, signature: Signature, parameters: int) -> float:
        """Return six for each weight that is looked up.

        ``parameters`` is not read: most of them are looked up by no n-gram of a text.
        """
        return 6.0 * signature.outputs * (len(self.words) + len(self.characters))


class LinearOverNgrams(nn.Module):
    """The TF-IDF weights of a text's n-grams times the weights that each has for each label.

    Shapes: B batch, T time, F n-grams, C outputs.
    """

    def __init__(self, ngrams: TfidfNgrams, outputs: int) -> None:
        super().__init__()
        self.ngrams = ngrams
        self.stem = HashedLinear(ngrams.features + 1, outputs)
        self.blocks = nn.ModuleList()
        self.head = None

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
    ) -> Tensor:
        """Return logits, shape (B, C).

        Args:
            input_ids: Shape (B, T), padded on the right.
            attention_mask: Shape (B, T), 0 at padding (None: no padding).
            token_type_ids: Shape (B, T), which of two texts (None: the first).
        """
        mask_BT = torch.ones_like(input_ids) if attention_mask is None else attention_mask.long()
        keys_BF, weights_BF = self.ngrams(input_ids, mask_BT, token_type_ids)
        votes_BFC = self.stem(keys_BF)
        logits: Tensor = (votes_BFC * weights_BF[:, :, None].to(votes_BFC.dtype)).sum(1)
        return logits + self.stem.bias


def _texts(tokenizer: Tokenizer) -> list[str]:
    """Return the text of each id; that of a special token is empty."""
    return [tokenizer.decode([token]) for token in range(tokenizer.size)]


def _kinds(tokenizer: Tokenizer) -> list[int]:
    """Return what each id is to the words of a text, (V,)."""
    return [_kind(text) for text in _texts(tokenizer)]


def _kind(text: str) -> int:
    if not text.strip():
        return BLANK
    if text == _UNKNOWN or (len(text) == 1 and without_signs(text) and not alone(text)):
        return PART
    return WORD


def _folded(tokenizer: Tokenizer) -> list[int]:
    """Return the id that each counts as, (V,): of small letters, and of one blank for all."""
    texts = ["" if not text.strip() else text for text in _texts(tokenizer)]
    first: dict[str, int] = {}
    for token, text in enumerate(texts):
        first.setdefault(text, token)
    # A byte that is no character stands for itself.
    return [
        token if text == _UNKNOWN else first.get(text.lower(), token)
        for token, text in enumerate(texts)
    ]
