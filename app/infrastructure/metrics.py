"""Every metric of this process, in a registry of its own."""

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST

CONTENT_TYPE = CONTENT_TYPE_LATEST

disable_created_metrics()  # type: ignore[no-untyped-call]
REGISTRY = CollectorRegistry()
ProcessCollector(registry=REGISTRY)

_LONG = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)

HTTP_REQUESTS = Counter("http_requests", "Requests answered.", ("method", "endpoint", "status_code"), registry=REGISTRY)
"""`endpoint` is the route's template, `unmatched` where no route took the request; 499 = the client left first."""

HTTP_REQUEST_DURATION = Histogram(
    "http_request_duration_seconds",
    "Seconds from a request's arrival to the end of its answer, streams included.",
    ("method", "endpoint"),
    registry=REGISTRY,
    buckets=_LONG,
)
"""Labels as `HTTP_REQUESTS`."""

ACTIVE_CONNECTIONS = Gauge("active_connections", "Requests under way, open streams included.", registry=REGISTRY)
"""Rises when a request arrives, falls when its answer has ended."""

ERRORS = Counter("errors", "Error answers.", ("type", "code"), registry=REGISTRY)
"""`type` is the exception's class, `code` the one in the envelope."""

DB_POOL_CONNECTIONS = Gauge(
    "db_pool_connections", "Database connections of this process.", ("state",), registry=REGISTRY
)
"""`state` is in_use, idle or overflow; read from the pool when the metrics are read."""

REDIS_OPERATIONS = Counter("redis_operations", "Calls of Redis.", ("operation", "status"), registry=REGISTRY)
"""`operation` is publish, subscribe, ping …; `status` is success or error."""

BEDROCK_REQUESTS = Counter("bedrock_requests", "Calls of the model service.", ("model", "status"), registry=REGISTRY)
"""`model` is the Bedrock id; `status` is success, throttled, error or cancelled."""

BEDROCK_TOKENS = Counter("bedrock_tokens", "Tokens the model service counted.", ("model", "type"), registry=REGISTRY)
"""`type` is input, output, cache_creation_5m, cache_creation_1h or cache_read."""

AGENT_EXECUTIONS = Counter("agent_executions", "Runs that ended.", ("status",), registry=REGISTRY)
"""`status` is the run's last one: succeeded, failed, cancelled or interrupted."""

AGENT_EXECUTION_DURATION = Histogram(
    "agent_execution_duration_seconds",
    "Seconds from a run's admission to its end.",
    registry=REGISTRY,
    buckets=_LONG,
)
"""Observed once per run, however it ended."""

WORKSPACE_ACTIVE_CONTAINERS = Gauge("workspace_active_containers", "Sandboxes of conversations.", registry=REGISTRY)
"""Living sandboxes that belong to a conversation."""

WORKSPACE_CONTAINER_STARTUP = Histogram(
    "workspace_container_startup_seconds",
    "Seconds from the wish for a sandbox until its agent is up.",
    registry=REGISTRY,
    buckets=_LONG,
)
"""Observed for every sandbox that came up."""

WORKSPACE_CONTAINER_CRASHES = Counter(
    "workspace_container_crashes", "Sandboxes that ended without being told to.", registry=REGISTRY
)
"""Kills for lack of memory included."""

WORKSPACE_WARM_POOL_SIZE = Gauge(
    "workspace_warm_pool_size", "Sandboxes that wait for a first message.", registry=REGISTRY
)
"""Falls when one is handed out or given up."""

WORKSPACE_WARM_POOL_ACQUIRE = Histogram(
    "workspace_warm_pool_acquire_seconds",
    "Seconds a run waited for its sandbox, warm or cold.",
    registry=REGISTRY,
    buckets=_LONG,
)
"""Observed once per run that got one."""

WORKSPACE_REQUESTS = Counter("workspace_requests", "Requests for a sandbox.", ("status",), registry=REGISTRY)
"""`status` is hot, warm, cold or failed."""

WORKSPACE_PROXY_REQUEST_DURATION = Histogram(
    "workspace_proxy_request_duration_seconds",
    "Seconds a sandbox's request took at the gateway, its stream included.",
    ("method",),
    registry=REGISTRY,
    buckets=_LONG,
)
"""Observed for every request that was let through."""

WORKSPACE_PROXY_BLOCKED = Counter(
    "workspace_proxy_blocked", "Requests of sandboxes that the gateway refused.", registry=REGISTRY
)
"""Other hosts, paths, operations and models."""


def exposition() -> bytes:
    """All of it in the Prometheus text format."""
    return generate_latest(REGISTRY)
