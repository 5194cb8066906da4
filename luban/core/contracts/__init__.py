"""The kinds. Each is abstract; a component is a final class in a file of its own.

These files load without torch: tensor types are for the type checker only.
"""

from __future__ import annotations

from luban.core.contracts.augmentation import Augmentation, AugmentationContext
from luban.core.contracts.cleaner import Cleaner
from luban.core.contracts.examples import Example, Examples, Pool, TargetSummary
from luban.core.contracts.exporter import Exporter, Product
from luban.core.contracts.generative import GenerationConfigured, Generative
from luban.core.contracts.illustrated import Illustrated
from luban.core.contracts.metric import Metric, Statistics
from luban.core.contracts.model import Model
from luban.core.contracts.recognition import Guess, Recognises
from luban.core.contracts.records import Record, SetApart, Tally
from luban.core.contracts.signature import Signature
from luban.core.contracts.source import Source
from luban.core.contracts.stage import Stage
from luban.core.contracts.statistics import UsesStatistics
from luban.core.contracts.task import MEASUREMENTS, Baseline, StrongBaseline, Task
from luban.core.contracts.tokens import ReadsTokens, Tokenizer
from luban.core.contracts.tracker import Tracker
from luban.core.contracts.training import Adapter, Mechanism, Objective, Optimizer, Schedule
from luban.core.contracts.view import StoredView, View
from luban.core.special_tokens import SpecialTokenFrame

__all__ = [
    "MEASUREMENTS",
    "Adapter",
    "Augmentation",
    "AugmentationContext",
    "Baseline",
    "Cleaner",
    "Example",
    "Examples",
    "Exporter",
    "GenerationConfigured",
    "Generative",
    "Guess",
    "Illustrated",
    "Mechanism",
    "Metric",
    "Model",
    "Objective",
    "Optimizer",
    "Pool",
    "Product",
    "ReadsTokens",
    "Recognises",
    "Record",
    "Schedule",
    "SetApart",
    "Signature",
    "Source",
    "SpecialTokenFrame",
    "Stage",
    "Statistics",
    "StoredView",
    "StrongBaseline",
    "Tally",
    "TargetSummary",
    "Task",
    "Tokenizer",
    "Tracker",
    "UsesStatistics",
    "View",
]  # fmt: skip
