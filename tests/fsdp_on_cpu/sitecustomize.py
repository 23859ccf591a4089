"""Lets accelerate shard a model over processes on a CPU, as PyTorch can: for a test, with this folder on PYTHONPATH."""

from accelerate.state import AcceleratorState
from accelerate.utils import DistributedType

unsharded = AcceleratorState.__init__


def sharded(self, *args, **keys) -> None:
    """As it is, but with the plugin of FSDP in force on a CPU too."""
    unsharded(self, *args, **keys)
    self.fsdp_plugin = keys.get("fsdp_plugin") or getattr(self, "fsdp_plugin", None)
    if self.fsdp_plugin is not None:
        self.distributed_type = DistributedType.FSDP


AcceleratorState.__init__ = sharded
