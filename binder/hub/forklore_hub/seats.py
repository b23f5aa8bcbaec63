"""Who may sit on this machine: first come, first served, and the others wait."""

import asyncio
from collections import deque


class Seats:
    """The machine's processors, each of which may be given to `share` sessions at a time.

    A large request at the head of the queue is not overtaken by small ones, or it would wait forever.
    """

    def __init__(self, cpus, share=1):
        self.free = {cpu: share for cpu in sorted(cpus)}
        self.taken = {}
        self.waiting = deque()

    async def take(self, who, n_cpus):
        """Waits for `n_cpus` processors and gives their numbers: those that have the most room left."""
        if n_cpus > len(self.free):
            raise ValueError(f"{n_cpus} of {len(self.free)} processors")
        turn = asyncio.get_running_loop().create_future()
        self.waiting.append((turn, who, n_cpus))
        self.seat_next()
        try:
            return await turn
        except asyncio.CancelledError:
            self.leave(turn, who)
            raise

    def hold(self, who, cpus):
        """For a session that was there before this hub: it has these, whether there is room or not."""
        for cpu in self.give_back(who) or cpus:
            self.free[cpu] = self.free.get(cpu, 0)
        for cpu in cpus:
            self.free[cpu] = self.free.get(cpu, 0) - 1
        self.taken[who] = tuple(cpus)

    def give_back(self, who):
        """Releases a learner's share, if there is one, and returns it."""
        cpus = self.taken.pop(who, ())
        for cpu in cpus:
            self.free[cpu] += 1
        self.seat_next()
        return cpus

    def n_ahead(self, who):
        """How many wait before this one."""
        names = [name for _, name, _ in self.waiting]
        return names.index(who) if who in names else 0

    def leave(self, turn, who):
        self.waiting = deque(one for one in self.waiting if one[0] is not turn)
        # The turn may have come in the same moment.
        if turn.done() and not turn.cancelled():
            self.give_back(who)
        self.seat_next()

    def seat_next(self):
        while self.waiting:
            turn, who, n_cpus = self.waiting[0]
            room = sorted((cpu for cpu, n in self.free.items() if n > 0), key=lambda cpu: -self.free[cpu])
            if len(room) < n_cpus:
                return
            self.waiting.popleft()
            if turn.done():
                continue
            cpus = tuple(sorted(room[:n_cpus]))
            for cpu in cpus:
                self.free[cpu] -= 1
            self.taken[who] = cpus
            turn.set_result(cpus)
