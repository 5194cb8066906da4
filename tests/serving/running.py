"""A real server on a free port of this machine, and models whose pace a test decides."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import httpx
import openai
import torch
from torch import Tensor

from luban.core.contracts import Signature
from luban.data.tokenizers.char import Char
from luban.inference.text import TextGenerator
from luban.models.gpt import GPT
from luban.nn.cache import StateCache
from luban.serving.route import Service
from luban.serving.server import Server
from tests.inference.fakes import Bytes, Script

ALPHABET = "abcdefghijklmnopqrstuvwxyz ,.\n仁者爱人"
CONTEXT = 96


class Paced(Script):
    """Says ``tokens``, one for each permit that the test gives."""

    def __init__(self, tokens: Sequence[int]) -> None:
        super().__init__(tokens)
        self.permits = threading.Semaphore(0)
        self.steps = 0

    def decode(
        self, input_ids_BT: Tensor, cache: StateCache, counts: Sequence[int] | None = None
    ) -> Tensor:
        assert self.permits.acquire(timeout=30)
        self.steps += 1
        return super().decode(input_ids_BT, cache, counts)


class Broken(Script):
    """Fails at its second token."""

    def decode(
        self, input_ids_BT: Tensor, cache: StateCache, counts: Sequence[int] | None = None
    ) -> Tensor:
        if int(cache.states_LBD[0].max()) >= 0:
            raise RuntimeError("secret detail")
        return super().decode(input_ids_BT, cache, counts)


def tiny_gpt() -> TextGenerator:
    torch.manual_seed(0)
    tokenizer = Char(unknown="error").learn([ALPHABET])
    config = GPT(hidden_size=32, num_hidden_layers=2, num_attention_heads=2, initializer_range=0.3)
    signature = Signature(
        "tokens", tokenizer.size, tokenizer.size, CONTEXT, tokenizer.pad, tokenizer.end
    )
    return TextGenerator(config.build(signature), tokenizer)


def scripted(text: str) -> TextGenerator:
    return TextGenerator(Script(list(text.encode())), Bytes())


def paced(text: str) -> tuple[TextGenerator, Paced]:
    module = Paced(list(text.encode()))
    return TextGenerator(module, Bytes()), module


@contextmanager
def serving(model: object, **settings: Any) -> Iterator[Server]:
    service = Service(model=model, name="tiny", **settings)
    server = Server(service)
    thread = threading.Thread(target=server.run_until_stopped)
    thread.start()
    try:
        until(lambda: server.started)
        yield server
    finally:
        server.drain()
        thread.join(timeout=30)
        assert not thread.is_alive(), "the server did not stop"


def until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.01)


def client_of(server: Server, api_key: str = "none") -> openai.OpenAI:
    return openai.OpenAI(
        base_url=f"{server.url}/v1",
        api_key=api_key,
        max_retries=0,
        timeout=30,
    )


def metric(server: Server, name: str, labels: dict[str, str] | None = None) -> float:
    """Read one sample of /metrics with Prometheus' own parser."""
    from prometheus_client.parser import text_string_to_metric_families

    text = httpx.get(f"{server.url}/metrics", trust_env=False).text
    return sum(
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name and (labels or {}).items() <= sample.labels.items()
    )
