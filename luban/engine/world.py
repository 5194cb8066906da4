"""The processes that train together: who we are, how we add up, how we agree.

torchrun's environment (``RANK``, ``WORLD_SIZE``, ``LOCAL_RANK``, ``MASTER_ADDR``,
``MASTER_PORT``) is the contract; without it there is one process and no process group.
Whoever starts several processes sets ``TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1`` (else an
elastic restart never recovers: pytorch#135712) and, on CPU, ``OMP_NUM_THREADS=1``,
``MALLOC_ARENA_MAX=2`` and ``MALLOC_MMAP_THRESHOLD_=262144``; see ``ENVIRONMENT``.
"""

from __future__ import annotations

import ctypes
import os
import platform
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh

from luban.core.errors import CapacityError, RunError

#: What a launcher must set for every CPU process.
ENVIRONMENT = {
    "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1",
    "OMP_NUM_THREADS": "1",
    "MALLOC_MMAP_THRESHOLD_": "262144",
    "MALLOC_ARENA_MAX": "2",
}

#: Parameters of mallopt(3), from malloc.h.
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3

#: How long processes wait for the first one, which prepares and evaluates alone.
_PATIENCE = timedelta(days=7)

_BUCKET = 25 * 2**20  # bytes per collective: large enough to amortise, small enough to hold twice


@dataclass(frozen=True, slots=True)
class World:
    """The processes of one training job, seen from one of them.

    Attributes:
        rank: Number of this process, from 0.
        size: How many processes there are.
        device: Where this process computes.
        mesh: The device mesh, with the dimension ``dp``; None in a single process.
    """

    rank: int = 0
    size: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    mesh: DeviceMesh | None = None

    @classmethod
    def start(cls, device: str = "auto") -> World:
        """Join the world that torchrun's environment describes.

        Args:
            device: ``auto`` (CUDA if there is one), ``cpu`` or ``cuda``.

        Raises:
            CapacityError: if CUDA is asked for and not there, or has too few devices.
            RunError: if the environment is incomplete.
        """
        kind = _device_kind(device)
        rank, size, local = _environment()
        here = torch.device(kind, local) if kind == "cuda" else torch.device(kind)
        if kind == "cuda":
            _need_device(local)
            torch.cuda.set_device(here)
        if size == 1:
            if kind == "cpu":
                _keep_freed_memory()
            return cls(device=here)
        if not dist.is_initialized():
            # Gloo beside NCCL: a recipe may ask for the CPU, and metrics are gathered there.
            backend = "cpu:gloo,cuda:nccl" if kind == "cuda" else "gloo"
            dist.init_process_group(backend, timeout=_PATIENCE)
        mesh = init_device_mesh(kind, (size,), mesh_dim_names=("dp",))
        return cls(rank, size, here, mesh)

    @property
    def is_main(self) -> bool:
        """Whether this process writes files and prints."""
        return self.rank == 0

    def sum_(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor by its sum over the processes, in flat buckets.

        All processes must pass the same shapes in the same order.
        """
        if self.size == 1:
            return
        for bucket in _buckets(tensors):
            flat = torch.cat([tensor.reshape(-1) for tensor in bucket])
            dist.all_reduce(flat)
            parts = torch.split(flat, [tensor.numel() for tensor in bucket])
            for tensor, part in zip(bucket, parts, strict=True):
                tensor.copy_(part.view_as(tensor))

    def sum(self, *values: float) -> list[float]:
        """Return the sums of some numbers over the processes, added in double precision."""
        if self.size == 1:
            return list(values)
        total = self._tensor(values)
        dist.all_reduce(total)
        return [float(value) for value in total.tolist()]

    def from_main(self, value: float) -> float:
        """Return the main process's value in every process."""
        if self.size == 1:
            return value
        shared = self._tensor([value])
        dist.broadcast(shared, src=0)
        return float(shared.item())

    def copy_main_(self, tensors: Sequence[Tensor]) -> None:
        """Overwrite every tensor with the main process's."""
        if self.size > 1:
            for tensor in tensors:
                dist.broadcast(tensor, src=0)

    def any_true(self, flag: bool) -> bool:
        """Return whether the flag is set in any process (agree to stop, or to fail)."""
        return self.sum(float(flag))[0] > 0

    def gather(self, rows: Tensor) -> Tensor:
        """Return the rows of all processes joined along the first axis, by rank.

        Processes may hold different numbers of rows, none included.
        """
        if self.size == 1:
            return rows
        counts = [torch.zeros(1, dtype=torch.int64, device=self.device) for _ in range(self.size)]
        dist.all_gather(counts, torch.tensor([len(rows)], device=self.device))
        longest = int(max(count.item() for count in counts))
        padded = torch.zeros((longest, *rows.shape[1:]), dtype=rows.dtype, device=self.device)
        padded[: len(rows)] = rows
        parts = [torch.empty_like(padded) for _ in counts]
        dist.all_gather(parts, padded)
        kept = [part[: int(n.item())] for part, n in zip(parts, counts, strict=True)]
        return torch.cat(kept).to(rows.device)

    def share(self, total: int) -> range:
        """Return which of ``total`` things are this process's: contiguous, as even as can be."""
        return range(total * self.rank // self.size, total * (self.rank + 1) // self.size)

    def barrier(self) -> None:
        """Wait until every process is here."""
        if self.size > 1:
            self.any_true(False)

    def close(self) -> None:
        """Leave the process group."""
        if self.size > 1 and dist.is_initialized():
            dist.destroy_process_group()

    def _tensor(self, values: Sequence[float]) -> Tensor:
        return torch.tensor(values, dtype=torch.float64, device=self.device)


def _device_kind(device: str) -> str:
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise CapacityError(
            "torch finds no CUDA device.", where="device", fix="use device: auto or device: cpu."
        )
    return device


def _need_device(local: int) -> None:
    found = torch.cuda.device_count()
    if local >= found:
        raise CapacityError(
            f"process {local} of this machine has no GPU of its own.",
            expected=f"at most {found} processes per machine",
            fix=f"start with --nproc-per-node {found}, or with device: cpu.",
        )


def _keep_freed_memory() -> None:
    """Let glibc reuse freed blocks instead of handing them back to the system.

    Every step frees and asks for the same big blocks; fetching them anew costs thousands of
    page faults per step, 3 to 5 % of the time of a small model. Processes that share a machine
    rather want their memory back: see ``ENVIRONMENT``.
    """
    if platform.libc_ver()[0] == "glibc":
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_THRESHOLD, 2**30)
        mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
        mallopt(_M_TOP_PAD, 2**26)


def _environment() -> tuple[int, int, int]:
    size = _number("WORLD_SIZE", 1)
    if size == 1:
        return 0, 1, 0
    missing = [n for n in ("RANK", "MASTER_ADDR", "MASTER_PORT") if n not in os.environ]
    if missing:
        raise RunError(
            f"WORLD_SIZE is {size}, but {', '.join(missing)} is not set.",
            where="environment",
            fix="start with torchrun --nproc-per-node N -m luban train RECIPE.",
        )
    rank = _number("RANK", 0)
    return rank, size, _number("LOCAL_RANK", rank)


def _number(name: str, default: int) -> int:
    text = os.environ.get(name, str(default))
    if not text.isdecimal():
        raise RunError(
            f"{name} is not a number.",
            where="environment",
            got=text,
            fix="start with torchrun, which sets it, or unset it.",
        )
    return int(text)


def _buckets(tensors: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    """Yield runs of tensors of one type whose bytes fit a bucket."""
    bucket: list[Tensor] = []
    used = 0
    for tensor in tensors:
        size = tensor.numel() * tensor.element_size()
        if bucket and (used + size > _BUCKET or tensor.dtype != bucket[0].dtype):
            yield bucket
            bucket, used = [], 0
        bucket.append(tensor)
        used += size
    if bucket:
        yield bucket
