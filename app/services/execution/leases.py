"""Keeps what is ours and takes what was left: leases are renewed, abandoned runs are ended."""

import asyncio
import time
from collections.abc import Callable, Collection
from uuid import UUID

import structlog

from app.config import Runs as RunSettings
from app.database import Database
from app.errors import ServiceUnavailable, StaleOwner
from app.repositories import runs
from app.repositories.runs import Claim
from app.services.execution import outcome as outcomes
from app.services.execution.conclude import conclude
from app.services.execution.live_run import LiveRun
from app.services.execution.wakeups import Wakeups

log = structlog.get_logger()

SWEEP = 50
"""Abandoned runs ended in one round."""


class Leases:
    """Renews this replica's leases and ends runs whose owner is gone."""

    def __init__(
        self,
        database: Database,
        live: Callable[[], Collection[LiveRun]],
        wakeups: Wakeups,
        settings: RunSettings,
        owner: str,
    ) -> None:
        self._database = database
        self._live = live
        self._wakeups = wakeups
        self._settings = settings
        self._owner = owner
        self._stubborn: set[UUID] = set()
        """Runs that could not be ended with all they said."""

    async def renew_for_ever(self) -> None:
        """Renew every few seconds, until cancelled."""
        while True:
            await asyncio.sleep(self._settings.lease_renewal_seconds)
            begun = time.monotonic()
            try:
                await self.renew()
            except ServiceUnavailable:
                log.warning("leases.not_renewed", seconds=round(time.monotonic() - begun, 3))

    async def renew(self) -> None:
        """Renew every lease that is still ours; stop the runs that are not, and those that are to be cancelled."""
        working = {live.claim.run_id: live for live in self._live()}
        if not working:
            return
        async with self._database.platform() as session:
            renewals = await runs.renew(
                session, [live.claim for live in working.values()], self._settings.lease_seconds
            )
        for renewal in renewals:
            live = working.pop(renewal.run_id)
            if renewal.cancel_requested:
                live.stop("cancel")
        for lost in working.values():
            lost.lose()

    async def sweep_for_ever(self) -> None:
        """Look for abandoned runs every few seconds, until cancelled."""
        while True:
            try:
                await self.sweep()
            except ServiceUnavailable:
                log.warning("leases.not_swept")
            await asyncio.sleep(self._settings.lease_renewal_seconds)

    async def sweep(self) -> None:
        """End the runs whose lease ran out."""
        ours = {live.claim.run_id for live in self._live()}
        async with self._database.platform_read() as session:
            abandoned = await runs.list_abandoned(session, SWEEP)
        left = [claim for claim in abandoned if claim.run_id not in ours]
        ends = await asyncio.gather(*(self._end(claim) for claim in left), return_exceptions=True)
        for claim, fault in zip(left, ends, strict=True):
            if isinstance(fault, ServiceUnavailable):
                log.warning("run.not_ended_yet", run_id=str(claim.run_id))
            elif fault is not None:
                self._stubborn.add(claim.run_id)
                log.error("run.not_ended", run_id=str(claim.run_id), exc_info=fault)

    async def _end(self, claim: Claim) -> None:
        try:
            async with self._database.tenant(claim.tenant_id) as session:
                taken = await runs.take_over(session, claim, self._owner, self._settings.lease_seconds)
                if taken is None:
                    return
                await conclude(session, taken, outcomes.ABANDONED, None, bare=claim.run_id in self._stubborn)
        except StaleOwner:
            return
        self._stubborn.discard(claim.run_id)
        self._wakeups.ring(claim.run_id)
        log.warning("run.abandoned", run_id=str(claim.run_id), tenant_id=claim.tenant_id)
