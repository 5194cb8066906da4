"""What a model may know of its task."""

from __future__ import annotations

from dataclasses import dataclass

#: What a model may be asked to give, and the shape of its logits.
PRODUCTS = {
    "next": "the token after every position, looking back only: (B, T, outputs)",
    "label": "one vector for the whole example: (B, outputs)",
    "tags": "one vector for every position, looking both ways: (B, T, outputs)",
    "tokens": "the token at every position, looking both ways: (B, T, outputs)",
    "span": "whether an answer begins and ends at every position: (B, T, 2)",
    "sequence": "the token after every position of a second sequence: (B, U, outputs)",
    "alignment": "a token, or none, for every ``stride`` positions, by CTC: (B, S, outputs)",
    "boxes": "the classes and the box of every place of a pyramid: (B, P, outputs + 5)",
    "image": "the loss of each image, (B,); and images, made of noise",
}


#: What a model may read, and what one position of it is called.
POSITIONS = {"tokens": "tokens", "pixels": "images", "frames": "frames"}


@dataclass(frozen=True, slots=True)
class Signature:
    """All that a model may know of its task.

    Attributes:
        accepts: What goes in: ``tokens``, ``pixels`` or ``frames``.
        inputs: Vocabulary size, channels or features.
        outputs: Vocabulary size or number of classes.
        length: Longest input in positions (0: no bound).
        pad: Id of the padding token, if there is one.
        end: Id of the end token, if there is one.
        produces: What comes out: a key of ``PRODUCTS``.
        start: Id of the token a decoder begins with, if there is one.
        mask: Id of the token that hides another, if there is one.
        segments: How many kinds of input positions there are (2: pairs of texts).
        labels: Names of the outputs, if they have names.
        problem: What ``config.json`` calls ``problem_type``, where there is a choice.
        chain: Whether neighbouring tags are scored together: the module needs ``transitions``.
        size: Height and width of images.
        stride: How many frames make one position of a model; T frames make ceil(T / stride).
        begin: Id of the token a text begins with (``bos_token``), if there is one.
        ends: Ids of further tokens that end an answer.
    """

    accepts: str
    inputs: int
    outputs: int
    length: int = 0
    pad: int | None = None
    end: int | None = None
    produces: str = "next"
    start: int | None = None
    mask: int | None = None
    segments: int = 1
    labels: tuple[str, ...] = ()
    problem: str = ""
    chain: bool = False
    size: tuple[int, int] = (0, 0)
    stride: int = 1
    begin: int | None = None
    ends: tuple[int, ...] = ()

    @property
    def unit(self) -> str:
        """What one position is called: what ``Batch.positions`` counts."""
        return POSITIONS.get(self.accepts, "examples")

    @property
    def bos(self) -> int | None:
        """What ``config.json`` calls ``bos_token_id``: the end token where there is no other."""
        return self.end if self.begin is None else self.begin
