"""The processes (ranks) that train one model together, as started by torchrun.

Rank 0 leads: it runs the command, keeps the records and decides what happens next. The others
follow its orders (`follower.py`). Every rank processes whole micro-batches, so results do not
depend on the number of ranks, up to the order of sums.
"""

import contextlib
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import IntEnum
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from switchhead_lab.config.schema import RunConfig
from switchhead_lab.errors import ConfigError, RankLostError

# A rank that does not answer within this time is lost.
_COLLECTIVE_TIMEOUT = timedelta(minutes=10)
# Followers wait for orders while the leader prepares data or evaluates.
_ORDER_TIMEOUT = timedelta(hours=12)
_LOST = re.compile(r"gloo|nccl|connection (?:closed|reset|refused)|broken pipe|timed out", re.I)


class Action(IntEnum):
    """What the leader orders."""

    TRAIN = 1
    """Build the model of a run; the order's text describes it."""
    STEP = 2
    """Take the optimiser step with the order's number."""
    SCORE = 3
    """Score a split; the order's text names it."""
    COLLECT = 4
    """Send what a checkpoint needs and only this rank has."""
    WRITE = 5
    """Write this rank's parts of weights and optimiser state into the folder in the text."""
    RESTORE = 6
    """Receive the state of a checkpoint."""
    RELEASE = 7
    """Forget the model of the run."""
    LEAVE = 8
    """End."""


@dataclass(frozen=True)
class Order:
    """An order of the leader, with a number or a text if its action has one."""

    action: Action
    number: int = 0
    text: str = ""


class Ranks:
    """The ranks of a job, seen from one of them; a single process without torchrun.

    Attributes:
        rank: Number of this process, from 0; 0 leads.
        n_ranks: Number of processes.
    """

    def __init__(self, rank: int = 0, n_ranks: int = 1, channel: Any = None) -> None:
        """Describe a job whose processes are connected.

        Args:
            rank: Number of this process.
            n_ranks: Number of processes.
            channel: Group for CPU tensors, over which orders and states are sent.
        """
        self.rank, self.n_ranks, self._channel = rank, n_ranks, channel

    @property
    def is_alone(self) -> bool:
        """Whether there are no others."""
        return self.n_ranks == 1

    @property
    def leads(self) -> bool:
        """Whether this is rank 0."""
        return self.rank == 0

    def share_of(self, n_parts: int) -> range:
        """Return this rank's share of equal parts, such as micro-batches.

        Args:
            n_parts: A multiple of the number of ranks.
        """
        n_own = n_parts // self.n_ranks
        return range(self.rank * n_own, (self.rank + 1) * n_own)

    def require_equal_shares(self, config: RunConfig) -> None:
        """Check that the ranks can share the micro-batches of a run.

        Raises:
            ConfigError: If they cannot.
        """
        if self.is_alone:
            return
        training = config.training
        if training.capture_step:
            raise ConfigError(
                f"training.capture_step = true with {self.n_ranks} ranks: a CUDA graph is captured "
                "by one process; remove it, or start the command without torchrun"
            )
        n_parts = training.batch_size // training.micro_batch_size
        if n_parts % self.n_ranks == 0:
            return
        fitting = [
            rows
            for rows in range(1, training.micro_batch_size + 1)
            if training.batch_size % (rows * self.n_ranks) == 0
        ]
        advice = (
            f"use training.micro_batch_size={fitting[-1]} or a divisor of it"
            if fitting
            else f"use a number of ranks that divides batch_size={training.batch_size}"
        )
        raise ConfigError(
            f"training.micro_batch_size={training.micro_batch_size} splits a batch of "
            f"{training.batch_size} into {n_parts}, which {self.n_ranks} ranks cannot share "
            f"equally; {advice}"
        )

    def give(self, action: Action, number: int = 0, text: str = "") -> None:
        """Give the followers an order; does nothing without any, or on a follower itself.

        Raises:
            RankLostError: If one is lost.
        """
        if self.is_alone or not self.leads:
            return
        data = text.encode()
        with lost_ranks():
            header = torch.tensor([action, number, len(data)])
            dist.broadcast(header, 0, group=self._channel)
            if data:
                body = torch.frombuffer(bytearray(data), dtype=torch.uint8)
                dist.broadcast(body, 0, group=self._channel)

    def await_order(self) -> Order:
        """Return the leader's next order.

        Raises:
            RankLostError: If the leader is lost.
        """
        with lost_ranks():
            header = torch.zeros(3, dtype=torch.int64)
            dist.broadcast(header, 0, group=self._channel)
            action, number, n_bytes = header.tolist()
            text = ""
            if n_bytes:
                body = torch.zeros(n_bytes, dtype=torch.uint8)
                dist.broadcast(body, 0, group=self._channel)
                text = body.numpy().tobytes().decode()
        return Order(Action(action), number, text)

    def sum_(self, tensor: Tensor) -> Tensor:
        """Replace a tensor, on any device, by its sum over the ranks; return it."""
        if not self.is_alone:
            with lost_ranks():
                dist.all_reduce(tensor)
        return tensor

    def spread_(self, tensors: Iterable[Tensor]) -> None:
        """Replace tensors by those of the leader; shapes and types are equal on all ranks."""
        if self.is_alone:
            return
        for tensor in tensors:
            value = tensor.detach()
            with lost_ranks():
                copy = value.cpu().contiguous()
                dist.broadcast(copy, 0, group=self._channel)
            value.copy_(copy)

    def gather(self, tensor: Tensor) -> list[Tensor]:
        """Return the tensors of all ranks, on the CPU; followers get an empty list.

        Args:
            tensor: Equal shape and type on all ranks.
        """
        copy = tensor.detach().cpu().contiguous()
        if self.is_alone:
            return [copy]
        parts = [torch.empty_like(copy) for _ in range(self.n_ranks)] if self.leads else None
        with lost_ranks():
            dist.gather(copy, parts, 0, group=self._channel)
        return parts or []

    def scatter(self, parts: Sequence[Tensor], like: Tensor) -> Tensor:
        """Return this rank's part of what the leader gives.

        Args:
            parts: One CPU tensor for each rank; empty on followers.
            like: Has the shape and type of a part.
        """
        if self.is_alone:
            return parts[0]
        part = torch.empty_like(like, device="cpu")
        given = [x.contiguous() for x in parts] if self.leads else None
        with lost_ranks():
            dist.scatter(part, given, 0, group=self._channel)
        return part

    def gather_texts(self, text: str) -> list[str]:
        """Return the texts of all ranks; followers get an empty list."""
        data = torch.frombuffer(bytearray(text.encode()), dtype=torch.uint8)
        lengths = self.gather(torch.tensor([len(data)]))
        longest = torch.tensor([max((int(length) for length in lengths), default=0)])
        self.spread_([longest])
        padded = torch.zeros(int(longest), dtype=torch.uint8)
        padded[: len(data)] = data
        parts = self.gather(padded)
        pairs = zip(parts, lengths, strict=True)
        return [part[: int(length)].numpy().tobytes().decode() for part, length in pairs]

    def watched(self) -> contextlib.AbstractContextManager[None]:
        """Return a block that reports failed communication as a lost rank, if there are others."""
        return contextlib.nullcontext() if self.is_alone else lost_ranks()

    @contextlib.contextmanager
    def training(self, description: str) -> Iterator[None]:
        """Have the followers build and train a run within the block.

        Args:
            description: The run, as `follower.describe` writes it.

        Raises:
            RankLostError: If one is lost.
        """
        self.give(Action.TRAIN, text=description)
        try:
            yield
        finally:
            # Whoever lost a rank knows already.
            with contextlib.suppress(RankLostError):
                self.give(Action.RELEASE)

    def leave(self) -> None:
        """End the job: release the followers and disconnect."""
        if self.is_alone:
            return
        if self.leads:
            with contextlib.suppress(RankLostError):
                self.give(Action.LEAVE)
        with contextlib.suppress(RuntimeError):
            dist.destroy_process_group()


ALONE = Ranks()
"""A single process."""

_joined = [ALONE]


def ranks() -> Ranks:
    """Return the ranks that this process belongs to."""
    return _joined[-1]


def join_ranks() -> Ranks:
    """Connect this process with the others of its torchrun job; return them.

    Raises:
        ConfigError: If torchrun's settings are incomplete or the others cannot be reached.
    """
    try:
        if torch.cuda.is_available():
            torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
            dist.init_process_group("cpu:gloo,cuda:nccl", timeout=_COLLECTIVE_TIMEOUT)
        else:
            dist.init_process_group("gloo", timeout=_COLLECTIVE_TIMEOUT)
        channel = dist.new_group(backend="gloo", timeout=_ORDER_TIMEOUT)
    except (KeyError, ValueError, RuntimeError) as error:
        raise ConfigError(
            f"WORLD_SIZE={os.environ['WORLD_SIZE']} but the ranks cannot connect: {error}; start "
            "them with torchrun, or unset WORLD_SIZE"
        ) from None
    _joined.append(Ranks(dist.get_rank(), dist.get_world_size(), channel))
    return ranks()


@contextlib.contextmanager
def lost_ranks() -> Iterator[None]:
    """Report that a rank is lost if communication fails within the block.

    Raises:
        RankLostError: In place of the library's error.
    """
    try:
        yield
    except RuntimeError as error:
        is_lost = isinstance(error, dist.DistError) or _LOST.search(str(error))
        if isinstance(error, torch.OutOfMemoryError) or not is_lost:
            raise
        # Without the place in the library's source, and its advice.
        reason = re.sub(r"^\[[^]]*\]\s*", "", str(error)).partition(". ")[0] or "no reason given"
        raise RankLostError(
            f"a rank of this job ended or does not answer ({reason}); the same command continues "
            "from the latest checkpoint"
        ) from error
