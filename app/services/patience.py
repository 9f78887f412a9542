"""How long what must not be lost waits for a database that is away."""

from datetime import timedelta

import stamina

from app.errors import ServiceUnavailable

patiently = stamina.retry(
    on=ServiceUnavailable, timeout=timedelta(seconds=120), attempts=None, wait_initial=0.05, wait_max=2.0
)
"""Try again while the database is away; its last refusal is raised."""
