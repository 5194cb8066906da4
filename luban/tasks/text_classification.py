"""Tell which class, or which of several labels, a text or a pair of texts has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import nn

from luban.core.batch import Batch
from luban.core.contracts import Baseline, Example, Examples, Product, Signature
from luban.data.baselines.naive_bayes import NaiveBayes
from luban.data.tokenizers.char import Char
from luban.tasks.answers.classes import Classifier
from luban.tasks.inputs.text_pairs import PairTask
from luban.tasks.parts.linear_baseline import LinearBaseline

_MOST = 1_000  #: labels, beyond which the simple model would take too much memory and time
_CHARACTERS = 4096  #: of a text that the simple model reads


class TextClassification(Classifier, PairTask):
    """Topics, sentiments, intents: one label for an example, or a list of any number of them.

    Labels are what training records have in ``label``: strings or whole numbers, or lists of
    them. Scores are probabilities. Those of exclusive labels are divided by a temperature,
    several labels get a threshold each; both are fitted to validation data after training.
    """

    def signature(self) -> Signature:
        """Return vocabulary and labels."""
        names = self._labels.names
        return self.signature_for(len(names), names, self.problem)

    def exported(self, model: nn.Module, batch: Batch) -> Product:
        """Return the model, how texts become its inputs, and how its logits become labels."""
        return self.product(model, batch, self.reading())

    def collate(self, examples: Sequence[Example]) -> Batch:
        """Pad the texts; labels are (B,), or (B, C) of zeros and ones."""
        return Batch(self.inputs(examples), self.targets(examples))

    def baselines(self, train: Examples) -> Mapping[str, Baseline]:
        """Return the shares of labels, naive Bayes over tokens, and the model ``linear``."""
        found = dict(super().baselines(train))
        labels = self.bare_labels
        if not labels.several:
            bayes = NaiveBayes(
                train.flat("input_ids"),
                train.lengths("input_ids"),
                train.flat("label"),
                vocabulary=self.tokenizer.size,
                classes=len(labels.names),
            )
            found["naive-bayes"] = lambda example: labels.said(bayes.scores(example["input_ids"]))
        if len(train) > 1 and len(labels.names) <= _MOST:
            plain = TextClassification(tokenizer=Char(), max_length=_CHARACTERS)
            found["linear"] = LinearBaseline(train, self.tokenizer, labels, plain)
        return found
