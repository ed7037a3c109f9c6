"""The recipes in examples/, with the real packages."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
from celery import Celery  # type: ignore[import-untyped]  # it has no types
from live import SOON, comes_to_be

import coord
from examples.apscheduler_leader import run_scheduler
from examples.celery_beat import LeaderScheduler
from examples.idempotency import Idempotency

# --- Idempotency-Key -----------------------------------------------------------------------------


class Shop:
    """An ASGI application that counts its runs."""

    def __init__(self) -> None:
        self.runs: list[bytes] = []
        self.status = 201
        self.goes_on = asyncio.Event()
        self.goes_on.set()
        self.is_running = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        message = await receive()
        self.runs.append(message["body"])
        self.is_running.set()
        await self.goes_on.wait()
        await send(
            {"type": "http.response.start", "status": self.status, "headers": [(b"x-run", b"%d" % len(self.runs))]}
        )
        await send({"type": "http.response.body", "body": b"paid " + message["body"]})


async def _shopping(use: Any, **options: Any) -> None:
    async with coord.connect_async(f"memory://{use.__name__}") as ac:
        shop = Shop()
        transport = httpx.ASGITransport(app=Idempotency(shop, ac, **options))
        async with httpx.AsyncClient(transport=transport, base_url="http://shop") as client:
            await use(shop, client)


def test_a_repeated_request_gets_the_same_response() -> None:
    async def repeated(shop: Shop, client: httpx.AsyncClient) -> None:
        key = {"Idempotency-Key": "k-1"}
        got = [await client.post("/pay", content=b"5", headers=key) for _ in range(3)]
        assert {(each.status_code, each.text, each.headers["x-run"]) for each in got} == {(201, "paid 5", "1")}
        assert shop.runs == [b"5"]
        # Another key, no key, and a method that changes nothing.
        await client.post("/pay", content=b"5", headers={"Idempotency-Key": "k-2"})
        await client.post("/pay", content=b"5")
        await client.get("/pay", headers=key)
        assert len(shop.runs) == 4

    asyncio.run(_shopping(repeated))


def test_requests_at_the_same_time_run_once() -> None:
    async def together(shop: Shop, client: httpx.AsyncClient) -> None:
        posts = (client.post("/pay", content=b"5", headers={"Idempotency-Key": "k"}) for _ in range(10))
        assert {each.text for each in await asyncio.gather(*posts)} == {"paid 5"}
        assert len(shop.runs) == 1

    asyncio.run(_shopping(together))


def test_the_key_of_another_request_is_unprocessable() -> None:
    async def foreign(shop: Shop, client: httpx.AsyncClient) -> None:
        key = {"Idempotency-Key": "k"}
        await client.post("/pay", content=b"5", headers=key)
        for path, body in (("/pay", b"6"), ("/refund", b"5"), ("/pay?twice=1", b"5")):
            refused = await client.post(path, content=body, headers=key)
            assert refused.status_code == 422
            assert "paid" not in refused.text
        assert len(shop.runs) == 1

    asyncio.run(_shopping(foreign))


def test_a_request_that_still_runs_is_a_conflict() -> None:
    async def running(shop: Shop, client: httpx.AsyncClient) -> None:
        shop.goes_on.clear()
        key = {"Idempotency-Key": "k"}
        first = asyncio.create_task(client.post("/pay", content=b"5", headers=key))
        await shop.is_running.wait()
        assert (await client.post("/pay", content=b"5", headers=key)).status_code == 409
        shop.goes_on.set()
        assert (await first).text == "paid 5"

    asyncio.run(_shopping(running, wait=0.05))


def test_server_errors_are_not_kept() -> None:
    async def failing(shop: Shop, client: httpx.AsyncClient) -> None:
        key = {"Idempotency-Key": "k"}
        shop.status = 503
        assert (await client.post("/pay", content=b"5", headers=key)).status_code == 503
        shop.status = 201
        assert (await client.post("/pay", content=b"5", headers=key)).status_code == 201
        assert len(shop.runs) == 2

    asyncio.run(_shopping(failing))


# --- Celery beat ---------------------------------------------------------------------------------


class Recording(LeaderScheduler):
    """Keeps what it sends."""

    def apply_async(self, entry: Any, *args: Any, **kwargs: Any) -> Any:
        self.sent = [*getattr(self, "sent", []), entry.name]


def beat(url: str) -> Recording:
    app = Celery("beat", broker="memory://")
    app.conf.update(coord_url=url, beat_schedule={"report": {"task": "report", "schedule": 3600.0}})
    scheduler = Recording(app=app, lazy=False)
    for entry in scheduler.schedule.values():
        # Due at once.
        entry.last_run_at = entry.last_run_at.replace(year=2000)
    return scheduler


def test_one_beat_of_two_schedules() -> None:
    first, second = beat("memory://beat"), beat("memory://beat")
    try:
        for _ in range(3):
            first.tick()
            assert second.tick() == 1.0
        assert first.sent == ["report"]
        assert not hasattr(second, "sent")
        first.close()
        second.tick()
        assert second.sent == ["report"]
    finally:
        first.close()
        second.close()


def test_a_beat_that_has_lost_its_lease_sends_nothing() -> None:
    scheduler = beat("memory://beat-lost")
    with coord.connect("memory://beat-lost") as c:
        try:
            scheduler.tick()
            c.run(
                coord.Call(
                    coord.Script("lose", "return redis.call('DEL', KEYS[1])"), ("coord:leader:{celery-beat}",), (), int
                )
            )
            with c.leader("celery-beat").hold(wait=SOON):
                assert scheduler.lease is not None
                scheduler.lease.renew()
                assert scheduler.tick() == 1.0
        finally:
            scheduler.close()


# --- APScheduler ---------------------------------------------------------------------------------


def test_one_scheduler_of_two_runs_the_jobs() -> None:
    """When the leader's process ends, the other one goes on."""
    runs: list[str] = []
    ran = {"a": threading.Event(), "b": threading.Event()}

    def job(who: str) -> None:
        runs.append(who)
        ran[who].set()

    def jobs(who: str) -> Any:
        return lambda scheduler: scheduler.add_job(job, "interval", seconds=0.02, args=[who])

    with ThreadPoolExecutor(2) as threads:
        a, b = coord.connect("memory://apscheduler"), coord.connect("memory://apscheduler")
        try:
            first = threads.submit(run_scheduler, a, jobs("a"))
            assert ran["a"].wait(SOON)
            second = threads.submit(run_scheduler, b, jobs("b"))
            assert comes_to_be(lambda: len(runs) > 5)
            assert set(runs) == {"a"}
            a.close()
            first.result(SOON)
            assert ran["b"].wait(SOON)
            assert runs == sorted(runs)
        finally:
            a.close()
            b.close()
        second.result(SOON)
