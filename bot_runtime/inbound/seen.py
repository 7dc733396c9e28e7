"""Which messages have been seen a moment ago: WhatsApp may deliver one twice."""

import time
from collections import OrderedDict
from collections.abc import Callable

TTL_SECONDS = 5.0
CAPACITY = 20_000


class Seen:
    """Remembers keys for `ttl` seconds, at most `capacity` of them."""

    def __init__(
        self, *, ttl: float = TTL_SECONDS, capacity: int = CAPACITY, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._ttl = ttl
        self._capacity = capacity
        self._clock = clock
        self._keys: OrderedDict[str, float] = OrderedDict()

    def first(self, key: str) -> bool:
        """Whether this key has not been seen within the time; from now on it has."""
        now = self._clock()
        self._forget(now)
        if key in self._keys:
            return False
        self._keys[key] = now
        if len(self._keys) > self._capacity:
            self._keys.popitem(last=False)
        return True

    def __len__(self) -> int:
        self._forget(self._clock())
        return len(self._keys)

    def _forget(self, now: float) -> None:
        while self._keys:
            key, since = next(iter(self._keys.items()))
            if now - since < self._ttl:
                return
            del self._keys[key]
