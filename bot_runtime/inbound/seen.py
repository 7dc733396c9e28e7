"""Recently seen messages: WhatsApp may deliver one twice. Pure."""

import time
from collections import OrderedDict
from collections.abc import Callable

TTL_SECONDS = 5.0
CAPACITY = 20_000


class Seen:
    """Stores keys for `ttl_seconds`, at most `capacity` of them."""

    def __init__(
        self, *, ttl_seconds: float = TTL_SECONDS, capacity: int = CAPACITY, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._ttl_seconds = ttl_seconds
        self._capacity = capacity
        self._clock = clock
        self._keys: OrderedDict[str, float] = OrderedDict()

    def first(self, key: str) -> bool:
        """Whether this key is new; it is stored from now on."""
        now = self._clock()
        self._forget(now)
        if key in self._keys:
            return False
        self._keys[key] = now
        if len(self._keys) > self._capacity:
            self._keys.popitem(last=False)
        return True

    def withdraw(self, key: str) -> None:
        """Forget a key that was stored by mistake."""
        self._keys.pop(key, None)

    def __len__(self) -> int:
        self._forget(self._clock())
        return len(self._keys)

    def _forget(self, now: float) -> None:
        while self._keys:
            key, since = next(iter(self._keys.items()))
            if now - since < self._ttl_seconds:
                return
            del self._keys[key]
