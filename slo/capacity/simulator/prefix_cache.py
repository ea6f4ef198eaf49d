"""An engine's prefix cache: prompt blocks that stay in the KV cache after their request, until their room is needed (LRU).

As in vLLM, requests with the same prefix share the full blocks of a prompt. Unused blocks are evicted least recently used first, the
end of a prompt before its beginning. At least one token is always computed. Blocks are those of the trace's hashes (512 tokens in
Mooncake), each several engine blocks: a hit is never overstated, and understated by less than one trace block.
"""

from collections import OrderedDict

from plimsoll.slo.capacity.simulator.request import Request


class PrefixCache:
    """Shared blocks by hash. `size` is how many of the engine's blocks one takes, `tokens` what it holds."""

    def __init__(self, tokens: int, block_size: int) -> None:
        if tokens % block_size:
            raise ValueError(
                f"a prefix block of {tokens} tokens isn't a multiple of the engine's block size of {block_size}"
            )
        self.tokens, self.size = tokens, tokens // block_size
        self.hit_tokens = self.asked_tokens = 0
        self._used: dict[int, int] = {}  # hash -> requests that use it
        self._unused: OrderedDict[int, None] = OrderedDict()  # least recently used first; their room counts as free
        self._held: dict[Request, list[int]] = {}

    def evict(self, free: int) -> None:
        """Forget what no longer fits into `free` blocks."""
        while len(self._unused) * self.size > free:
            self._unused.popitem(last=False)

    def find(self, request: Request, length: int) -> tuple[int, int]:
        """Return the tokens of a request's beginning that are here, and how many free blocks using them would take."""
        found = new = 0
        for block in request.prefix[: (length - 1) // self.tokens]:
            if block not in self._used and block not in self._unused:
                break
            new += block in self._unused
            found += 1
        return found * self.tokens, new * self.size

    def use(self, request: Request, hit: int, length: int) -> None:
        """Let an admitted request use the first `hit` tokens that `find` found."""
        self._held[request] = list(request.prefix[: hit // self.tokens])
        for block in self._held[request]:
            self._unused.pop(block, None)
            self._used[block] = self._used.get(block, 0) + 1
        self.hit_tokens += hit
        self.asked_tokens += length

    def keep(self, request: Request) -> None:
        """Share the whole blocks of a prompt that is computed now; a twin computed meanwhile stays the request's own."""
        held = self._held[request]
        for block in request.prefix[len(held) : request.prompt // self.tokens]:
            if block in self._used or block in self._unused:
                break
            self._used[block] = 1
            held.append(block)

    def drop(self, request: Request) -> int:
        """Take a request out; returns how many blocks others still use of those it had."""
        still = 0
        for block in reversed(self._held.pop(request)):
            self._used[block] -= 1
            if self._used[block]:
                still += self.size
            else:
                del self._used[block]
                self._unused[block] = None
        return still
