"""Rate limiters: at most so much in so much time, over all instances (GCRA).

A limit is kept as one time, the TAT (theoretical arrival time): when it would be full again if nothing more came. A
cost moves it by the time that the cost takes, and may not move it further than a burst ahead of the server's clock.
Times are exact: whole microseconds and a part of one, so in any span T at most ``burst + rate * T`` passes.
"""

from coord.limiter.handle import Limiter, Verdict

__all__ = ["Limiter", "Verdict"]
