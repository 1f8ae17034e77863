"""How often somebody may ask: a bucket of tokens each, refilled with time. No I/O."""

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable

_NETWORK_BITS = 64  # what one subscriber has of IPv6 (RFC 6177)


class Buckets:
    """One bucket a name: it holds what may be asked in a minute, and fills up within one.

    Args:
        per_minute: how often a name may ask.
        clock: monotonic, in seconds.
        names: how many names are remembered; the one that asked longest ago is forgotten.
    """

    def __init__(
        self, per_minute: int, clock: Callable[[], float] = time.monotonic, names: int = 10_000
    ) -> None:
        self._size = float(per_minute)
        self._rate = per_minute / 60
        self._clock = clock
        self._names = names
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait_s(self, name: str) -> float:
        """Return the seconds until a name may ask; 0 where it may now. Takes nothing."""
        return max(1 - self._level(name, self._clock()), 0.0) / self._rate

    def take(self, name: str) -> float:
        """Take one from the bucket of a name; return 0, or the seconds until there is one."""
        at = self._clock()
        level = self._level(name, at)
        is_given = level >= 1
        self._buckets[name] = (level - 1 if is_given else level, at)
        self._buckets.move_to_end(name)
        if len(self._buckets) > self._names:
            self._buckets.popitem(last=False)
        return 0.0 if is_given else (1 - level) / self._rate

    def _level(self, name: str, at: float) -> float:
        level, since = self._buckets.get(name, (self._size, at))
        return min(level + (at - since) * self._rate, self._size)


def name_address(host: str) -> str:
    """Name who asks from an address: IPv6 by its network, for one machine has all of it."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if address.version == 4:  # noqa: PLR2004  IPv4
        return str(address)
    mapped = getattr(address, "ipv4_mapped", None)
    if mapped is not None:
        return str(mapped)
    return str(ipaddress.ip_network((int(address), _NETWORK_BITS), strict=False))
