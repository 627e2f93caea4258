"""What changes the whole process for a moment is done by one thread at a time.

The one idea: libraries keep settings that belong to no object (the dtype of new tensors, how modules take parameters,
where errors are written, the size of a CSV cell), change them while they work and put back what they found. Of two
threads that do so at once the second finds the first one's, and leaves them for good. So whoever changes such a
setting, or calls what does, stands in `alone` meanwhile; other threads wait at its door.
"""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from threading import RLock

import numpy as np

_door = RLock()


@contextmanager
def alone() -> Iterator[None]:
    """While open, no other thread is in here. Not to be held over a yield to whoever asked for events."""
    with _door:
        yield


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed torch, numpy and random for the body, and give them back their states afterwards."""
    import torch

    gpus = list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []
    with alone(), torch.random.fork_rng(devices=gpus):
        # Looked at inside: another thread's seed must not be what is given back.
        python, numpy = random.getstate(), np.random.get_state()
        torch.manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed % 2**32)
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)
