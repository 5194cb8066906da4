"""How soon does training reach 1.88 on Tiny Shakespeare, and how fast is one step of one shape?

The peers are nanoGPT's published CPU configuration (4 layers, 4 heads, width 128, context 64,
batch 12, AdamW, fp32), written down here as a plain PyTorch loop, and the ``transformers``
Trainer with the same shape and settings. All run in this process on the same threads; training
time leaves validation out for everyone.

    python -m benchmarks.train_vs_peers               # both questions, some fifteen minutes
    python -m benchmarks.train_vs_peers --only speed  # tokens/s of one shape, some two

Needs LUBAN_DATA. Writes ``benchmarks/out/train_vs_peers.json`` and prints the tables.
"""

from __future__ import annotations

import argparse
import math
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # for everyone: a shared machine

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks._common import data_folder, publish
from luban.engine.fit import Plan, State, fit
from luban.engine.loader import Loader
from luban.recipe import Recipe
from luban.run import Run
from luban.stage_runner import perform_stage
from luban.stages._prepared import open_store
from luban.stages.training.build import Training, build_training
from luban.stages.training.options import TrainingOptions

GOAL = 1.88
WIDTH, LAYERS, HEADS, CONTEXT, BATCH, STEPS = 128, 4, 4, 64, 12, 2000
RATE, FLOOR, WARMUP, DECAY, BETAS, CLIP = 1e-3, 1e-4, 100, 0.1, (0.9, 0.99), 1.0

SAME_SHAPE = {
    "name": "gpt", "layout": "gpt2", "hidden_size": WIDTH, "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS, "max_position_embeddings": CONTEXT,
}  # fmt: skip
SOONER = {
    "name": "gpt", "hidden_size": 128, "num_hidden_layers": 4, "num_attention_heads": 2,
    "intermediate_size": 384, "rope_theta": 1000, "tie_word_embeddings": False,
    "initializer": "fan_in", "zero_init_output": True,
}  # fmt: skip


class Block(nn.Module):
    """One GPT-2 block without biases, as in nanoGPT's configuration."""

    def __init__(self) -> None:
        super().__init__()
        self.ln_1, self.ln_2 = (nn.LayerNorm(WIDTH, bias=False) for _ in range(2))
        self.c_attn = nn.Linear(WIDTH, 3 * WIDTH, bias=False)
        self.c_proj = nn.Linear(WIDTH, WIDTH, bias=False)
        self.c_fc = nn.Linear(WIDTH, 4 * WIDTH, bias=False)
        self.c_out = nn.Linear(4 * WIDTH, WIDTH, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, T, D) after attention and MLP."""
        batch, length, width = x.shape
        heads = self.c_attn(self.ln_1(x)).split(WIDTH, dim=2)
        q, k, v = (h.view(batch, length, HEADS, -1).transpose(1, 2) for h in heads)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.c_proj(y.transpose(1, 2).contiguous().view(batch, length, width))
        out: Tensor = x + self.c_out(F.gelu(self.c_fc(self.ln_2(x))))
        return out


class Plain(nn.Module):
    """nanoGPT's CPU shape as plain PyTorch."""

    def __init__(self, vocab_size: int) -> None:
        super().__init__()
        self.wte = nn.Embedding(vocab_size, WIDTH)
        self.wpe = nn.Embedding(CONTEXT, WIDTH)
        self.blocks = nn.Sequential(*(Block() for _ in range(LAYERS)))
        self.ln_f = nn.LayerNorm(WIDTH, bias=False)
        for name, weight in self.named_parameters():
            if weight.ndim == 2:
                outputs = name.endswith(("c_proj.weight", "c_out.weight"))
                nn.init.normal_(weight, std=0.02 / (math.sqrt(2 * LAYERS) if outputs else 1))

    def forward(self, ids: Tensor) -> Tensor:
        """Return logits (B, T, V)."""
        x = self.wte(ids) + self.wpe(torch.arange(ids.shape[1]))
        return F.linear(self.ln_f(self.blocks(x)), self.wte.weight)


def rate(step: int) -> float:
    """NanoGPT's learning rate: linear warmup, then cosine down to a tenth."""
    if step < WARMUP:
        return RATE * (step + 1) / (WARMUP + 1)
    done = (step - WARMUP) / (STEPS - WARMUP)
    return FLOOR + 0.5 * (1 + math.cos(math.pi * done)) * (RATE - FLOOR)


def draw(tokens: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return a random batch, as nanoGPT draws them."""
    starts = torch.randint(len(tokens) - CONTEXT, (BATCH,), generator=generator)
    windows = torch.stack([tokens[s : s + CONTEXT + 1] for s in starts.tolist()])
    return windows[:, :-1], windows[:, 1:]


def plain_steps(model: Plain, tokens: Tensor, precision: str = "fp32") -> Iterator[float]:
    """Train the plain loop; yield the seconds of each step."""
    matrices = [p for p in model.parameters() if p.ndim >= 2]
    vectors = [p for p in model.parameters() if p.ndim < 2]
    groups: list[dict[str, Any]] = [
        {"params": matrices, "weight_decay": DECAY},
        {"params": vectors, "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=RATE, betas=BETAS)
    generator = torch.Generator().manual_seed(0)
    model.train()
    for step in range(STEPS):
        start = time.perf_counter()
        for group in optimizer.param_groups:
            group["lr"] = rate(step)
        x, y = draw(tokens, generator)
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            loss = F.cross_entropy(model(x).flatten(0, 1), y.flatten())
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        yield time.perf_counter() - start


@torch.no_grad()
def validation(model: nn.Module, tokens: Tensor) -> float:
    """Return nats per character over all of the validation text, in windows of the context."""
    model.eval()
    windows = tokens[: (len(tokens) - 1) // CONTEXT * CONTEXT + 1].unfold(0, CONTEXT + 1, CONTEXT)
    total = 0.0
    for chunk in torch.split(windows, 256):
        logits = model(chunk[:, :-1])
        logits = getattr(logits, "logits", logits)
        total += float(
            F.cross_entropy(logits.flatten(0, 1), chunk[:, 1:].flatten(), reduction="sum")
        )
    model.train()
    return total / (len(windows) * CONTEXT)


class Race:
    """Trains until the goal; counts seconds and CPU seconds of steps, not of validation."""

    def __init__(self, held_out: Tensor, first: int, every: int) -> None:
        self.held_out, self.first, self.every = held_out, first, every
        self.seconds = self.cpu = 0.0
        self.steps, self.curve = 0, list[tuple[int, float, float]]()
        self.resume()

    def resume(self) -> None:
        """Start the clocks."""
        self._began = time.perf_counter(), time.process_time()

    def pause(self) -> None:
        """Stop the clocks."""
        self.seconds += time.perf_counter() - self._began[0]
        self.cpu += time.process_time() - self._began[1]

    def reached(self, model: nn.Module) -> bool:
        """Note a step; return whether the goal is reached."""
        self.steps += 1
        if self.steps < self.first or self.steps % self.every:
            return False
        self.pause()
        self.curve.append((self.steps, round(self.seconds, 2), validation(model, self.held_out)))
        self.resume()
        return self.curve[-1][2] <= GOAL

    def result(self) -> dict[str, Any]:
        """Return what was counted."""
        return {
            "seconds": round(self.seconds, 1), "CPU seconds": round(self.cpu, 1),
            "steps": self.steps, "curve": self.curve,
        }  # fmt: skip


def plain_until_goal(train: Tensor, held_out: Tensor) -> dict[str, Any]:
    """Train the plain loop until the goal; look every 50 steps."""
    torch.manual_seed(0)
    model = Plain(int(train.max()) + 1)
    race = Race(held_out, first=1000, every=50)
    for _ in plain_steps(model, train):
        if race.reached(model):
            break
    race.pause()
    return race.result()


def trainer(
    train: Tensor, steps: int, folder: str, held_out: Tensor | None, precision: str = "fp32"
) -> dict[str, Any]:
    """Train the same shape with the ``transformers`` Trainer; time steps, not validation."""
    from torch.utils.data import Dataset
    from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainerCallback
    from transformers import TrainingArguments as Arguments

    class Random(Dataset[dict[str, Tensor]]):
        def __len__(self) -> int:
            return STEPS * BATCH

        def __getitem__(self, index: int) -> dict[str, Tensor]:
            start = int(torch.randint(len(train) - CONTEXT, (1,)))
            ids = train[start : start + CONTEXT + 1]
            return {"input_ids": ids[:-1], "labels": ids[:-1]}

    race = Race(train if held_out is None else held_out, first=1000, every=50)

    class Judge(TrainerCallback):
        def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            race.resume()

        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if held_out is not None:
                control.should_training_stop |= race.reached(kwargs["model"])

        def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            race.pause()

    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=int(train.max()) + 1, n_positions=CONTEXT, n_embd=WIDTH, n_layer=LAYERS,
        n_head=HEADS, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
        bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    arguments = Arguments(
        output_dir=folder, max_steps=steps, per_device_train_batch_size=BATCH, learning_rate=RATE,
        adam_beta2=BETAS[1], weight_decay=DECAY, max_grad_norm=CLIP, warmup_steps=WARMUP,
        lr_scheduler_type="cosine_with_min_lr", lr_scheduler_kwargs={"min_lr": FLOOR},
        bf16=precision == "bf16", report_to=[], save_strategy="no", logging_steps=500,
        disable_tqdm=True, use_cpu=True,
    )  # fmt: skip
    run = Trainer(GPT2LMHeadModel(config), arguments, train_dataset=Random(), callbacks=[Judge()])
    run.train()
    return race.result()


def luban_run(folder: str, model: dict[str, Any], train: dict[str, Any], context: int) -> Run:
    """Return a prepared run on Tiny Shakespeare."""
    run = Run.create(
        Recipe.parse(
            {
                "name": f"bench-{model.get('layout', 'qwen3')}",
                "runs": folder,
                "data": {
                    "source": {"name": "catalogue", "dataset": "tinyshakespeare"},
                    "split": {"by": "position", "validation": 0.1, "test": 0.0},
                },
                "task": {
                    "name": "text-generation",
                    "context": context,
                    "tokenizer": {"name": "char", "unknown": "error"},
                },
                "model": model,
                "train": train,
            }
        )
    )
    run.keep_recipe()
    perform_stage(run, run.recipe.stage("prepare"))
    return run


def training_of(run: Run) -> Training:
    """Return the training of a prepared run, wired, for the benchmark to call the loop itself."""
    options = run.recipe.stage("train")
    if not isinstance(options, TrainingOptions):
        raise TypeError(type(options))
    return build_training(run, options, run.task(), {"train": open_store(run, "train")}, {})


def luban_until_goal(folder: str) -> dict[str, Any]:
    """Train Luban's way, with its own loop, until the goal; look every 10 steps."""
    options = {
        "max_steps": 160, "batch_size": 32, "max_grad_norm": 0.0, "compile": "off",
        "optimizer": {"name": "muon", "learning_rate": 0.03, "momentum_warmup_steps": 32,
                      "adamw_learning_rate": 0.007},
        "schedule": {"name": "warmup-stable-decay", "warmup_steps": 10, "decay_ratio": 0.7},
    }  # fmt: skip
    run = luban_run(folder, SOONER, options, CONTEXT)
    training = training_of(run)
    ids = open_store(run, "validation").flat("input_ids").astype(np.int64)
    race = Race(torch.from_numpy(ids), first=100, every=10)
    for _ in fit(training.state, training.loader.batches(), training.plan):
        if race.reached(training.state.model):
            break
    race.pause()
    return {**race.result(), "precision": training.precision.name}


def luban_steps(folder: str, precision: str, *, compiled: bool) -> Iterator[float]:
    """Train the peers' shape with Luban's loop; yield the seconds of each step."""
    options = {
        "max_steps": STEPS, "batch_size": BATCH, "precision": precision, "compile": "off",
        "optimizer": {"name": "adamw", "learning_rate": RATE, "betas": list(BETAS),
                      "weight_decay": DECAY},
        "schedule": {"name": "cosine", "warmup_steps": WARMUP},
    }  # fmt: skip
    run = luban_run(folder, SAME_SHAPE, options, CONTEXT)
    training = training_of(run)
    if compiled:
        training.state.forward = torch.compile(training.state.model)  # type: ignore[assignment]
    loader: Loader = training.loader
    plan: Plan = training.plan
    state: State = training.state
    yield from (step.seconds for step in fit(state, loader.batches(), plan))


def speed(train: Tensor, folder: str, precision: str, rounds: int, steps: int) -> dict[str, Any]:
    """Return tokens/s of one shape, in turns; the ratio of each turn is what counts."""
    torch.manual_seed(0)
    turns: dict[str, Iterator[float]] = {
        "luban": luban_steps(f"{folder}/eager-{precision}", precision, compiled=False),
        "luban compiled": luban_steps(f"{folder}/compiled-{precision}", precision, compiled=True),
        "plain loop": plain_steps(Plain(int(train.max()) + 1), train, precision),
    }
    began = time.perf_counter()
    next(turns["luban compiled"])
    compile_seconds = time.perf_counter() - began
    for steps_of in turns.values():
        for _ in range(10):
            next(steps_of)
    tokens: dict[str, list[float]] = {name: [] for name in (*turns, "transformers Trainer")}
    for _ in range(rounds):
        for name, steps_of in turns.items():
            took = sum(next(steps_of) for _ in range(steps))
            tokens[name].append(steps * BATCH * CONTEXT / took)
        took = trainer(train, steps, folder, None, precision)["seconds"]
        tokens["transformers Trainer"].append(steps * BATCH * CONTEXT / took)
    ratios = {
        f"{ours} / {peer}": [a / b for a, b in zip(tokens[ours], tokens[peer], strict=True)]
        for ours in ("luban", "luban compiled")
        for peer in ("plain loop", "transformers Trainer")
    }
    return {
        "tokens/s": {name: round(statistics.median(values)) for name, values in tokens.items()},
        "ratios": {name: round(statistics.median(values), 2) for name, values in ratios.items()},
        "ranges": {name: [round(min(v), 2), round(max(v), 2)] for name, v in ratios.items()},
        "compile seconds": round(compile_seconds, 1),
    }


def text_tokens() -> tuple[Tensor, Tensor]:
    """Return Tiny Shakespeare as character ids, split as nanoGPT does."""
    path = data_folder() / "tinyshakespeare" / "input.txt"
    text = path.read_text(encoding="utf-8")
    codes = {character: i for i, character in enumerate(sorted(set(text)))}
    ids = torch.from_numpy(np.array([codes[c] for c in text], dtype=np.int64))
    return ids[: int(0.9 * len(ids))], ids[int(0.9 * len(ids)) :]


def main() -> None:
    """Run what is asked for and publish it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=["goal", "speed"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=60, help="steps of a turn")
    parser.add_argument("--quick", action="store_true", help="speed only, a few short turns")
    args = parser.parse_args()
    if args.quick:
        args.only, args.rounds, args.steps = "speed", 2, 20
    train, held_out = text_tokens()
    result: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        if args.only != "speed":
            result["goal"] = {
                "luban": luban_until_goal(folder + "/goal"),
                "plain loop": plain_until_goal(train, held_out),
                "transformers Trainer": trainer(train, STEPS, folder, held_out),
            }
        if args.only != "goal":
            for precision in ("fp32", "bf16"):
                part = speed(train, folder, precision, args.rounds, args.steps)
                result[f"speed in {precision}"] = part
    publish("train_vs_peers", result)


if __name__ == "__main__":
    main()
