"""One model on several ranks: a copy on each (DistributedDataParallel) or a part on each (FSDP2).

Both average gradients over the ranks in the backward pass.
"""

import contextlib
import warnings
from collections.abc import Callable, Iterator
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from switchhead_lab.training.ranks import Ranks
from switchhead_lab.training.scoring import Score, ScoredModel

Sharing = Literal["copies", "parts"]
"""Whether each rank has a copy of the weights and the optimiser state, or a part of them."""


def share_model(scored: ScoredModel, ranks: Ranks, sharing: Sharing) -> Callable[..., Score]:
    """Give all ranks the leader's weights; return the forward pass to train with.

    Args:
        scored: The model, on its device; its weights become parts with "parts".
        ranks: The ranks; a single one trains with `scored` itself.
        sharing: How they share the model.

    Raises:
        RankLostError: If another rank is lost.
    """
    if ranks.is_alone:
        return scored
    ranks.spread_(scored.model.state_dict().values())
    if sharing == "parts":
        # Deferred, here and below: imports of a second that other runs do without.
        from torch.distributed.fsdp import fully_shard

        # Each block's weights are gathered when it runs, and dropped after it.
        for block in scored.model.blocks:
            fully_shard(block)
        fully_shard(scored)
        # It warns that outputs are views; nothing changes them in place.
        warnings.filterwarnings("ignore", message="FSDP2-wrapped module .* returned a view")
        return scored
    return DistributedDataParallel(
        scored, init_sync=False, forward_sync_buffers=False, gradient_as_bucket_view=True
    )


@contextlib.contextmanager
def gradients_wait(shared: Callable[..., Score], *, waits: bool) -> Iterator[None]:
    """Within the block, keep gradients on their rank, to be averaged with those that follow.

    Args:
        shared: What `share_model` returned.
        waits: False to average in this block.
    """
    # FSDP2 adds methods to the modules that it splits.
    set_sync: Any = getattr(shared, "set_requires_gradient_sync", None)
    if set_sync is not None:
        set_sync(not waits)
    if waits and isinstance(shared, DistributedDataParallel):
        with shared.no_sync():
            yield
    else:
        yield


def is_part(tensor: Any) -> bool:
    """Return whether a tensor is a rank's part of a larger one."""
    return hasattr(tensor, "to_local")


def part_of(tensor: Any) -> Tensor:
    """Return what this rank holds of a tensor: a part of it, or all."""
    held: Tensor = tensor.to_local() if is_part(tensor) else tensor
    return held


def whole_of(tensor: Any) -> Tensor:
    """Return the whole of which a tensor is a part; itself if it is one. Call it on all ranks."""
    whole: Tensor = tensor.full_tensor() if is_part(tensor) else tensor
    return whole


def set_from_leader(tensor: Any, whole: Tensor | None, ranks: Ranks) -> None:
    """Set a tensor, or this rank's part of it, to the leader's value. Call it on all ranks.

    Args:
        tensor: Overwritten.
        whole: The value; None on followers.
        ranks: The ranks.

    Raises:
        RankLostError: If another rank is lost.
    """
    with torch.no_grad():
        if is_part(tensor):
            from torch.distributed.tensor import distribute_tensor

            local = tensor.to_local()
            given = torch.zeros(tensor.shape, dtype=tensor.dtype) if whole is None else whole
            given = given.to(local.device)
            part = distribute_tensor(given, tensor.device_mesh, tensor.placements)
            local.copy_(part.to_local())
            return
        if whole is not None:
            tensor.copy_(whole)
        ranks.spread_([tensor])
