"""The laws of each kind, as functions: run them over your own components too.

    from luban.testing import check_task
    check_task(MyTask(), model=MyModel(), records=[...], mechanism=Mechanism.from_dict("plain"))

Each raises ``ContractError`` with the law that was broken. Luban's own tests run them over
every registered component.
"""

from luban.testing._law import law
from luban.testing.around import check_adapter, check_objective
from luban.testing.data import (
    check_augmentation,
    check_cleaner,
    check_component,
    check_source,
    check_stage,
    check_tokenizer,
)
from luban.testing.task import check_task
from luban.testing.training import (
    check_interval,
    check_mechanism,
    check_metric,
    check_model,
    check_optimizer,
    check_schedule,
)

__all__ = [
    "check_adapter",
    "check_augmentation",
    "check_cleaner",
    "check_component",
    "check_interval",
    "check_mechanism",
    "check_metric",
    "check_model",
    "check_objective",
    "check_optimizer",
    "check_schedule",
    "check_source",
    "check_stage",
    "check_task",
    "check_tokenizer",
    "law",
]
