"""Commands that torchrun starts in several processes (ranks)."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from switchhead_lab.errors import ConfigError


@contextmanager
def joined_ranks() -> Iterator[bool]:
    """Yield whether this process is to run the command; its block is to do nothing else.

    That is the case without torchrun, and for rank 0 of its processes. The others follow until
    rank 0 ends.

    Raises:
        ConfigError: If torchrun's processes cannot connect.
        RankLostError: If a process is lost on which this one waits.
    """
    if not are_several():
        yield True
        return
    # Deferred: imports PyTorch, which most commands do without.
    from switchhead_lab.training.follower import follow
    from switchhead_lab.training.ranks import join_ranks

    joined = join_ranks()
    try:
        if not joined.leads:
            follow(joined)
        yield joined.leads
    finally:
        joined.leave()


def are_several() -> bool:
    """Return whether torchrun started several processes for this command."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def require_one_process(option: str) -> None:
    """Check that torchrun did not start this command in several processes.

    Args:
        option: The option that starts processes of its own.

    Raises:
        ConfigError: If it did.
    """
    if are_several():
        raise ConfigError(
            f"{option} under torchrun: its {os.environ['WORLD_SIZE']} processes train one model "
            f"together; remove {option}, or start the command without torchrun"
        )
