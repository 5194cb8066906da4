"""The laws of what stands around a model while it learns: adapters and objectives."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from luban.core.batch import Batch, Losses, LossFn
from luban.core.contracts import Adapter, Model, Objective, Record, Signature, Task
from luban.testing._law import law
from luban.testing.data import check_component


def check_adapter(adapter: Adapter, model: Model, signature: Signature, batch: Batch) -> None:
    """Starts where the model is, trains few parameters, freezes the rest, merges without a trace.

    Args:
        adapter: The adapter.
        model: A small model it is made for, without dropout.
        signature: What the model is built for.
        batch: What it then reads.
    """
    check_component(adapter)
    plain = _built(model, signature)
    names, before = list(plain.state_dict()), _logits(plain, batch)
    torch.manual_seed(1)
    module = adapter.apply(_built(model, signature)).eval()
    law(_near(_logits(module, batch), before), adapter, "a new adapter changes no output")
    torch.manual_seed(1)
    twin = adapter.apply(_built(model, signature)).eval()
    law(_same(module.state_dict(), twin.state_dict()), adapter, "the same seed, the same adapter")
    trained = {name for name, p in module.named_parameters() if p.requires_grad}
    few = sum(p.numel() for p in module.parameters() if p.requires_grad)
    law(0 < few < sum(p.numel() for p in plain.parameters()), adapter, "few parameters are trained")
    held = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    _train(module, batch)
    moved = {name for name, t in module.state_dict().items() if not torch.equal(t, held[name])}
    law(bool(moved), adapter, "training changes something")
    law(moved <= trained, adapter, "what is frozen does not change")
    after = _logits(module, batch)
    with tempfile.TemporaryDirectory() as folder:
        adapter.save(module, model, Path(folder))
        law(any(Path(folder).iterdir()), adapter, "what was trained is written apart")
    law(torch.equal(_logits(module, batch), after), adapter, "saving changes no output")
    merged = adapter.merge(module).eval()
    law(list(merged.state_dict()) == names, adapter, "merged, the names are the plain module's")
    law(_near(_logits(merged, batch), after), adapter, "merging changes no output")
    fresh = next(name for name, _ in plain.named_parameters() if name not in trained)
    chosen = adapter.apply(_built(model, signature), (fresh,))
    found = [p.requires_grad for n, p in chosen.named_parameters() if _plain(n) == fresh]
    law(found == [True], adapter, "parameters that start fresh are trained")


def check_objective(
    objective: Objective,
    task: Task,
    model: Model,
    records: Sequence[Record],
    *,
    separable: bool,
) -> None:
    """The same counts, a loss per example, dice from torch's generator, no trace in the module.

    Args:
        objective: The objective.
        task: The task it is added to, not yet learned.
        model: A small model for both, without dropout.
        records: At least three training records of different lengths.
        separable: Whether it draws nothing that depends on the batch, so that micro-batches must
            give the gradient of the whole.
    """
    check_component(objective)
    learned = task.learn(records)
    batch = learned.collate(learned.encode_batch(records))
    module = _built(model, learned.signature()).train()
    names = set(module.state_dict())
    objective.attach(module, learned)
    extra = set(module.state_dict()) - names
    law(all(n.startswith("auxiliary.") for n in extra), objective, "what is added is auxiliary")
    held = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    wrapped = objective.wrap(learned.loss, learned)
    main, losses = learned.loss(module, batch), _seeded(wrapped, module, batch)
    law(losses.sums.shape == (len(batch),), objective, "one loss sum per example")
    law(torch.equal(losses.counts, main.counts), objective, "counts are those of the task")
    law(bool(losses.sums.isfinite().all()), objective, "losses are finite")
    law(not torch.equal(losses.sums, main.sums), objective, "the loss is another one")
    law(_same(module.state_dict(), held), objective, "computing a loss changes no weight")
    left = [p.grad is None for p in module.parameters()]
    law(all(left), objective, "no gradient is left behind before backward")
    hooks = [m for m in module.modules() if m._forward_hooks or m._forward_pre_hooks]
    law(not hooks and module.training, objective, "no hook is left behind, nor another mode")
    whole = _gradient(module, losses)
    again = _gradient(module, _seeded(wrapped, module, batch))
    law(torch.equal(whole, again), objective, "the same seed gives the same gradient")
    reached = [p.grad is not None for n, p in module.named_parameters() if n in extra]
    law(all(reached), objective, "what was added is trained")
    if separable:
        parts = [wrapped(module, batch.rows(slice(at, at + 1))) for at in range(len(batch))]
        cut = _gradient(module, Losses.cat(parts))
        near = bool((cut - whole).norm() <= 1e-5 * whole.norm())
        law(near, objective, "micro-batches give the gradient of the whole batch")


def _built(model: Model, signature: Signature) -> nn.Module:
    torch.manual_seed(0)
    return model.build(signature).eval()


@torch.no_grad()
def _logits(module: nn.Module, batch: Batch) -> Tensor:
    logits: Tensor = module(**batch.inputs)
    return logits


def _train(module: nn.Module, batch: Batch) -> None:
    """Take three steps towards any other output."""
    chosen = [parameter for parameter in module.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(chosen, 0.1)
    for _ in range(3):
        optimizer.zero_grad()
        loss = module(**batch.inputs).float().log_softmax(-1)[..., 0].mean()
        loss.backward()
        optimizer.step()


def _seeded(loss: LossFn, module: nn.Module, batch: Batch) -> Losses:
    torch.manual_seed(3)
    return loss(module, batch)


def _gradient(module: nn.Module, losses: Losses) -> Tensor:
    module.zero_grad(set_to_none=True)
    losses.sums.sum().backward()  # type: ignore[no-untyped-call]
    return torch.cat([p.grad.flatten() for p in module.parameters() if p.grad is not None])


def _plain(name: str) -> str:
    return name.replace(".base_layer.", ".")


def _near(a: Tensor, b: Tensor) -> bool:
    return torch.allclose(a, b, rtol=0, atol=1e-5)


def _same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)
