"""One engine replica: continuous batching as vLLM v1 schedules it, with a step model in place of the GPU.

Every step shares one token budget. Running requests come first, one token each; then the prompt of which a chunk was
done; then waiting requests, first come first served, until the batch or the KV cache is full: a request that gets no
blocks keeps its place and closes admission. A running request that gets no block pushes out the newest one, whose
tokens are computed again. First token and last chunk of the prompt are the same step. (vllm/v1/core/sched/scheduler.py.)
With a prefix cache (plimsoll.slo.capacity.simulator.prefix_cache), `free_blocks` counts what only the cache still holds as free, as vLLM does. Pure and deterministic; time is the caller's, in seconds.

Decoding requests all grow by one token a step, so none is touched until it finishes: the remaining tokens of a request
are stored relative to a counter of decode steps, and equal steps are taken at once.
"""

from collections import deque
from heapq import heappop, heappush
from itertools import count
from math import ceil, sqrt

from plimsoll.slo.capacity.simulator.prefix_cache import PrefixCache
from plimsoll.slo.capacity.simulator.request import Limits, Request, Step
from plimsoll.slo.capacity.simulator.step_time import MILLISECOND, StepModel


class Engine:
    """A replica. `add` requests, then `step` while `busy`; state is that of the end of the last step."""

    def __init__(self, model: StepModel, limits: Limits) -> None:
        self.model = model
        self.limits = limits
        self.waiting: deque[Request] = deque()
        self.running: dict[Request, None] = {}  # in order of admission
        self.free_blocks = limits.num_blocks
        self._clock = 0
        self._decoding = 0
        self._context = 0  # sum of the lengths of decoding requests
        # Decoding requests by the clock, modulo block size, at which their next token starts a new block.
        self._block_starts = [0] * limits.block_size
        self._due: list[tuple[int, int, Request]] = []
        self._partial: Request | None = None  # the newest running request, while its prompt is not done
        self._computed = 0  # its tokens done so far
        self._tickets = count(1)
        self.cache = PrefixCache(limits.prefix_block, limits.block_size) if limits.prefix_block else None

    @property
    def busy(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.running or self.waiting)

    def fits(self, request: Request) -> bool:
        """Whether an empty KV cache can hold the request; an engine rejects it otherwise."""
        return self.limits.blocks(request.prompt + request.output) <= self.limits.num_blocks

    def generated(self, request: Request) -> int:
        """Tokens that the request has got so far."""
        decoding = request in self.running and request is not self._partial
        return request.output - (request.due - self._clock) if decoding else request.generated

    def add(self, request: Request) -> None:
        """Queue a request; raises ValueError for one that could never run."""
        if request.prompt < 1 or request.output < 1 or not self.fits(request):
            raise ValueError(f"{request.prompt}+{request.output} tokens can never run within {self.limits}")
        self.waiting.append(request)

    def abort(self, request: Request) -> None:
        """Drop a waiting or running request after its client disconnected. Raises ValueError for any other."""
        if request in self.running:
            self._leave(request)
        else:
            self.waiting.remove(request)

    def step(self, now: float, until: float) -> Step:
        """Run one step from `now`, or several equal ones up to the first that ends at or after `until`.

        Requests finished in it are released already when it returns; nothing else may happen to the engine before
        `Step.end` than `add`, and `abort` of a waiting request.
        """
        step = Step(now)
        self._allocate_decodes(step)
        done = self._schedule_prompts(step)
        step.decodes = self._decoding
        step.running = len(self.running)
        resumed = sum(request.generated > 0 for request in done)
        context = self._context + sum(request.prompt + request.generated for request in done if request.generated)
        decodes = self._decoding + resumed
        decode = self.model.decode(decodes, context // decodes if decodes else 0)
        step.end = now + self.model.together(self.model.prefill(step.prompt_tokens), decode)
        if self._decoding and not done and not step.prompt_tokens and not step.preempted:
            self._leap(step, decode, until)
        step.blocks = self.limits.num_blocks - self.free_blocks
        self._clock += step.count
        self._context += step.count * self._decoding
        self._finish_due(step)
        for request in done:
            self._emit_first(request, step)
        return step

    def _allocate_decodes(self, step: Step) -> None:
        """Give every decoding request room for its next token, pushing out the newest while there is none."""
        slot = self._clock % self.limits.block_size
        while self._block_starts[slot] > self.free_blocks:
            self._preempt(step)
        self.free_blocks -= self._block_starts[slot]

    def _preempt(self, step: Step) -> None:
        request = next(reversed(self.running))
        if request is not self._partial:
            request.generated = self.generated(request)
            request.paused = step.start
        self._leave(request)
        request.preemptions += 1
        self.waiting.appendleft(request)
        step.preempted.append(request)

    def _leave(self, request: Request) -> None:
        """Take a request out of the batch between two steps and free its blocks."""
        if request is self._partial:
            self._free(request, self._computed)
            self._partial = None
        else:
            self._release(request, request.prompt + self.generated(request))
        del self.running[request]

    def _release(self, request: Request, length: int) -> None:
        """Forget a decoding request of that length; the newest token is not in the KV cache yet."""
        self._decoding -= 1
        self._context -= length
        self._block_starts[(self._clock + 1 - length) % self.limits.block_size] -= 1
        self._free(request, length - 1)
        request.ticket = 0  # its entry in the list of due requests is void

    def _free(self, request: Request, tokens: int) -> None:
        """Give back the blocks of a request that leaves, but those that others share."""
        self.free_blocks += self.limits.blocks(tokens)
        if self.cache is not None:
            self.free_blocks -= self.cache.drop(request)

    def _schedule_prompts(self, step: Step) -> list[Request]:
        """Spend the rest of the token budget on prompts; return the requests with a completed prompt."""
        budget = self.limits.max_num_batched_tokens - self._decoding
        tokens = chunks = 0
        done: list[Request] = []
        request = self._partial
        while budget > 0:
            if request is None:
                if step.preempted or not self.waiting or len(self.running) >= self.limits.max_num_seqs:
                    break
                request = self.waiting[0]
                length = request.prompt + request.generated
                computed, shared = self._cached(request, length)
            else:
                length, computed, shared = request.prompt + request.generated, self._computed, 0
            after = min(computed + budget, length)
            blocks = self.limits.blocks(after) - self.limits.blocks(computed) + shared
            if blocks > self.free_blocks:
                if request is self._partial:
                    self._preempt(step)
                break
            if request is not self._partial:
                self._admit(request, step)
                if self.cache is not None:
                    self.cache.use(request, computed, length)
            self.free_blocks -= blocks
            budget -= after - computed
            tokens += after - computed
            chunks += 1
            if after < length:
                self._partial, self._computed = request, after
            else:
                self._partial = None
                done.append(request)
                if self.cache is not None:
                    self.cache.keep(request)
            request = None
        # The step model is asked for the mean chunk, in whole tokens, times their number.
        step.prompt_tokens = tokens // chunks * chunks if chunks else 0
        return done

    def _cached(self, request: Request, length: int) -> tuple[int, int]:
        """Tokens of a request that waits that need not be computed, and the free blocks that using them takes."""
        if self.cache is None:
            return 0, 0
        self.cache.evict(self.free_blocks)
        return self.cache.find(request, length)

    def _admit(self, request: Request, step: Step) -> None:
        self.waiting.popleft()
        self.running[request] = None
        if request.scheduled is None:
            request.scheduled = step.start

    def _leap(self, step: Step, duration: float, until: float) -> None:
        """Repeat a pure decode step while every further one is alike: until one finishes, blocks run out or `until` is reached.

        A waiting request does not disturb this: it was rejected for a reason that lasts until some request finishes.
        """
        while self._due[0][1] != self._due[0][2].ticket:
            heappop(self._due)
        steps = self._due[0][0] - self._clock
        gap = until - step.start
        if steps == 1 or gap <= duration or duration <= MILLISECOND:
            return
        step.growth = self._decoding * self.model.decode_per_kv_token
        # n steps take n d + g n (n - 1) / 2 = n (half + g n / 2); the root in the form that is stable for small g.
        half = duration - step.growth / 2
        if steps * (half + step.growth * steps / 2) > gap:
            steps = min(steps, ceil(2 * gap / (half + sqrt(half * half + 2 * step.growth * gap))))
        step.count = self._allocate_ahead(steps)
        step.end = step.start + step.count * (half + step.growth * step.count / 2)

    def _allocate_ahead(self, steps: int) -> int:
        """Allocate the blocks for up to `steps` steps; the first has its blocks already. Return the number of steps that fit."""
        size = self.limits.block_size
        rounds, rest = divmod(steps - 1, size)
        if (rounds + 1) * self._decoding <= self.free_blocks:
            self.free_blocks -= rounds * self._decoding
            for offset in range(1, rest + 1):
                self.free_blocks -= self._block_starts[(self._clock + offset) % size]
            return steps
        taken = 1
        while taken < steps and self._block_starts[(self._clock + taken) % size] <= self.free_blocks:
            self.free_blocks -= self._block_starts[(self._clock + taken) % size]
            taken += 1
        return taken

    def _finish_due(self, step: Step) -> None:
        while self._due and self._due[0][0] <= self._clock:
            _, ticket, request = heappop(self._due)
            if ticket == request.ticket:
                self._release(request, request.prompt + request.output)
                self._finish(request, step)

    def _finish(self, request: Request, step: Step) -> None:
        del self.running[request]
        request.generated = request.output
        request.finished = step.end
        step.finished.append(request)

    def _emit_first(self, request: Request, step: Step) -> None:
        """Emit the token that comes with the last chunk, and let the request decode from here."""
        if request.generated == 0:
            request.first_token = step.end
            step.first_tokens.append(request)
        else:
            step.resumed.append(request)
        request.generated += 1
        length = request.prompt + request.generated
        if request.generated == request.output:
            self._free(request, length - 1)
            self._finish(request, step)
            return
        request.due = self._clock + request.output - request.generated
        request.ticket = next(self._tickets)
        self._decoding += 1
        self._context += length
        self._block_starts[(self._clock + 1 - length) % self.limits.block_size] += 1
        heappush(self._due, (request.due, request.ticket, request))
