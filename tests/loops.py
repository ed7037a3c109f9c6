"""Other event loops for the whole run: ``COORD_LOOP=uvloop``, or ``COORD_LOOP=eager`` for eager tasks (Python 3.12)."""

from __future__ import annotations

import asyncio
import os


class EagerTasks(asyncio.DefaultEventLoopPolicy):
    """Loops whose tasks run at once, to their first pause, when they are made."""

    def new_event_loop(self) -> asyncio.AbstractEventLoop:
        """Return such a loop."""
        loop = super().new_event_loop()
        loop.set_task_factory(asyncio.eager_task_factory)  # type: ignore[attr-defined,unused-ignore]  # 3.12
        return loop


def policy() -> asyncio.AbstractEventLoopPolicy | None:
    """Return the policy that this run asks for; None for the usual loop."""
    match os.environ.get("COORD_LOOP", ""):
        case "":
            return None
        case "eager":
            return EagerTasks()
        case "uvloop":
            import uvloop

            return uvloop.EventLoopPolicy()
        case other:
            raise ValueError(f"COORD_LOOP={other}: there are 'uvloop' and 'eager'")
