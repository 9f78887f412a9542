"""The first tables, each with its tenancy."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TENANT_TABLES = (
    "conversations",
    "events",
    "idempotency_keys",
    "messages",
    "runs",
    "session_entries",
    "tenants",
    "usage_logs",
)

GRANTS = (
    "SELECT ON models TO tenant_scope",
    "SELECT, UPDATE ON tenants TO tenant_scope",
    "SELECT, INSERT, UPDATE, DELETE ON conversations, idempotency_keys TO tenant_scope",
    "SELECT, INSERT, UPDATE, DELETE ON messages, runs, session_entries TO tenant_scope",
    "SELECT, INSERT ON events, usage_logs TO tenant_scope",
    "SELECT, INSERT, UPDATE, DELETE ON idempotency_keys, models, tenants TO platform_scope",
    "SELECT, UPDATE, DELETE ON conversations, runs TO platform_scope",
    "SELECT ON alembic_version, events, messages, session_entries, usage_logs TO platform_scope",
    "INSERT ON events TO event_scope",
    "SELECT (tenant_id, run_id, status, fence), UPDATE (fence) ON runs TO event_scope",
)


def _roles() -> None:
    """Three group roles, shared by all databases of a cluster; the app's login becomes one of them per transaction."""
    for role in ("tenant_scope", "platform_scope", "event_scope"):
        op.execute(
            f"DO $$ BEGIN CREATE ROLE {role} NOLOGIN NOINHERIT; EXCEPTION WHEN duplicate_object THEN NULL; END $$"
        )


def _tenancy() -> None:
    """Every tenant table shows a transaction its own tenant's rows only, its owner included."""
    for table in TENANT_TABLES:
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
        op.execute(
            f"CREATE POLICY own_tenant ON {table} TO tenant_scope "
            "USING (tenant_id = current_setting('app.tenant_id', true)) "
            "WITH CHECK (tenant_id = current_setting('app.tenant_id', true))"
        )
        op.execute(f"CREATE POLICY platform ON {table} TO platform_scope USING (true) WITH CHECK (true)")


def _event_writer() -> None:
    """The event writer appends; it may lock a run to read its fence, and a change of it would fail the check."""
    op.execute("CREATE POLICY append ON events FOR INSERT TO event_scope WITH CHECK (true)")
    op.execute("CREATE POLICY read_fence ON runs FOR SELECT TO event_scope USING (true)")
    op.execute("CREATE POLICY lock_only ON runs FOR UPDATE TO event_scope USING (true) WITH CHECK (false)")


def _tables() -> None:
    op.create_table(
        "idempotency_keys",
        sa.Column("tenant_id", sa.String(length=100), nullable=False),
        sa.Column("key", sa.String(length=255), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("answer", sa.Text(), nullable=True),
        sa.Column("run_id", sa.Uuid(), nullable=True),
        sa.Column(
            "created_at", sa.TIMESTAMP(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.PrimaryKeyConstraint("tenant_id", "key", name=op.f("pk_idempotency_keys")),
    )
    op.create_table(
        "models",
        sa.Column("model_id", sa.String(length=100), nullable=False),
        sa.Column("display_name", sa.String(length=200), nullable=False),
        sa.Column("bedrock_model_id", sa.String(length=200), nullable=False),
        sa.Column("model_region", sa.String(length=50), nullable=True),
        sa.Column("context_window", sa.Integer(), nullable=False),
        sa.Column("max_output_tokens", sa.Integer(), nullable=False),
        sa.Column("supports_extended_context", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("extended_context_window", sa.Integer(), nullable=True),
        sa.Column("input_token_price", sa.Numeric(precision=14, scale=6), server_default=sa.text("0"), nullable=False),
        sa.Column("output_token_price", sa.Numeric(precision=14, scale=6), server_default=sa.text("0"), nullable=False),
        sa.Column(
            "cache_creation_5m_price", sa.Numeric(precision=14, scale=6), server_default=sa.text("0"), nullable=False
        ),
        sa.Column(
            "cache_creation_1h_price", sa.Numeric(precision=14, scale=6), server_default=sa.text("0"), nullable=False
        ),
        sa.Column("cache_read_price", sa.Numeric(precision=14, scale=6), server_default=sa.text("0"), nullable=False),
        sa.Column("status", sa.Text(), server_default=sa.text("'active'"), nullable=False),
        sa.Column(
            "created_at", sa.TIMESTAMP(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column(
            "updated_at", sa.TIMESTAMP(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.CheckConstraint("status IN ('active', 'deprecated')", name=op.f("ck_models_status")),
        sa.PrimaryKeyConstraint("model_id", name=op.f("pk_models")),
    )
    op.create_index(op.f("ix_models_bedrock_model_id"), "models", ["bedrock_model_id"], unique=False)
    op.create_table(
        "usage_logs",
        sa.Column("tenant_id", sa.String(length=100), nullable=False),
        sa.Column("usage_log_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.String(length=100), nullable=False),
        sa.Column("model_id", sa.String(length=200), nullable=False),
        sa.Column("bedrock_model_id", sa.String(length=200), nullable=False),
        sa.Column("operation", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("session_id", sa.Uuid(), nullable=True),
        sa.Column("conversation_id", sa.Uuid(), nullable=True),
        sa.Column("run_id", sa.Uuid(), nullable=True),
        sa.Column("simple_chat_id", sa.Uuid(), nullable=True),
        sa.Column("input_tokens", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("output_tokens", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("cache_creation_5m_tokens", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("cache_creation_1h_tokens", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("cache_read_tokens", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("cost_usd", sa.Numeric(precision=24, scale=9), server_default=sa.text("0"), nullable=False),
        sa.Column(
            "executed_at", sa.TIMESTAMP(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.PrimaryKeyConstraint("tenant_id", "usage_log_id", name=op.f("pk_usage_logs")),
    )
    op.create_index(
        "ix_usage_logs_latest",
        "usage_logs",
        ["tenant_id", sa.literal_column("executed_at DESC"), sa.literal_column("usage_log_id DESC")],
        unique=False,
    )
    op.create_index("ix_usage_logs_model", "usage_logs", ["model_id"], unique=False)
    op.create_index("ix_usage_logs_run", "usage_logs", ["tenant_id", "run_id"], unique=False)
    op.create_table(
        "tenants",
        sa.Column("tenant_id", sa.String(length=100), nullable=False),
        sa.Column("system_prompt", sa.Text(), nullable=True),
        sa.Column("model_id", sa.String(length=100), nullable=True),
        sa.Column("status", sa.Text(), server_default=sa.text("'active'"), nullable=False),
        sa.Column(
            "created_at", sa.TIMESTAMP(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column(
            "updated_at", sa.TIMESTAMP(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.CheckConstraint("status IN ('active', 'inactive')", name=op.f("ck_tenants_status")),
        sa.ForeignKeyConstraint(["model_id"], ["models.model_id"], name=op.f("fk_tenants_models")),
        sa.PrimaryKeyConstraint("tenant_id", name=op.f("pk_tenants")),
    )
    op.create_index(op.f("ix_tenants_model_id"), "tenants", ["model_id"], unique=False)
    op.create_table(
        "conversations",
        sa.Column("tenant_id", sa.String(length=100), nullable=False),
        sa.Column("conversation_id", sa.Uuid(), nullable=False),
        sa.Column("session_id", sa.Uuid(), nullable=True),
        sa.Column("user_id", sa.String(length=100), nullable=False),
        sa.Column("model_id", sa.String(length=100), nullable=False),
        sa.Column("title", sa.String(length=500), nullable=True),
        sa.Column("status", sa.Text(), server_default=sa.text("'active'"), nullable=False),
        sa.Column("workspace_enabled", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("total_input_tokens", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("total_output_tokens", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("estimated_context_tokens", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("context_limit_reached", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("fence", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column(
            "created_at", sa.TIMESTAMP(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column(
            "updated_at", sa.TIMESTAMP(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.CheckConstraint("status IN ('active', 'archived')", name=op.f("ck_conversations_status")),
        sa.ForeignKeyConstraint(["model_id"], ["models.model_id"], name=op.f("fk_conversations_models")),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.tenant_id"], name=op.f("fk_conversations_tenants")),
        sa.PrimaryKeyConstraint("tenant_id", "conversation_id", name=op.f("pk_conversations")),
    )
    op.create_index(
        "ix_conversations_latest",
        "conversations",
        ["tenant_id", sa.literal_column("updated_at DESC"), sa.literal_column("conversation_id DESC")],
        unique=False,
    )
    op.create_index(op.f("ix_conversations_model_id"), "conversations", ["model_id"], unique=False)
    op.create_index(
        "ix_conversations_user",
        "conversations",
        ["tenant_id", "user_id", sa.literal_column("updated_at DESC")],
        unique=False,
    )
    op.create_table(
        "messages",
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("message_id", sa.Uuid(), nullable=False),
        sa.Column("conversation_id", sa.Uuid(), nullable=False),
        sa.Column("run_id", sa.Uuid(), nullable=True),
        sa.Column("message_seq", sa.Integer(), nullable=False),
        sa.Column("message_type", sa.Text(), nullable=False),
        sa.Column("message_subtype", sa.Text(), nullable=True),
        sa.Column("content", sa.JSON(), nullable=True),
        sa.Column(
            "timestamp", sa.TIMESTAMP(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.CheckConstraint("message_type IN ('user', 'assistant', 'system')", name=op.f("ck_messages_type")),
        sa.ForeignKeyConstraint(
            ["tenant_id", "conversation_id"],
            ["conversations.tenant_id", "conversations.conversation_id"],
            name=op.f("fk_messages_conversations"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("tenant_id", "message_id", name=op.f("pk_messages")),
        sa.UniqueConstraint(
            "tenant_id",
            "conversation_id",
            "message_seq",
            name=op.f("uq_messages_tenant_id_conversation_id_message_seq"),
        ),
    )
    op.create_table(
        "runs",
        sa.Column("tenant_id", sa.String(length=100), nullable=False),
        sa.Column("run_id", sa.Uuid(), nullable=False),
        sa.Column("conversation_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.String(length=100), nullable=False),
        sa.Column("model_id", sa.String(length=100), nullable=False),
        sa.Column("status", sa.Text(), server_default=sa.text("'queued'"), nullable=False),
        sa.Column("error_type", sa.Text(), nullable=True),
        sa.Column("message", sa.Text(), nullable=True),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("lease_until", sa.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("fence", sa.BigInteger(), nullable=False),
        sa.Column("cancel_requested_at", sa.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("input_tokens", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("output_tokens", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("cache_creation_5m_tokens", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("cache_creation_1h_tokens", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("cache_read_tokens", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("cost_usd", sa.Numeric(precision=24, scale=9), server_default=sa.text("0"), nullable=False),
        sa.Column("turn_count", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("versions", sa.JSON(), server_default=sa.text("'{}'"), nullable=False),
        sa.Column(
            "created_at", sa.TIMESTAMP(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column("started_at", sa.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("finished_at", sa.TIMESTAMP(timezone=True), nullable=True),
        sa.CheckConstraint(
            "status IN ('queued', 'running', 'waiting', 'succeeded', 'failed', 'cancelled', 'interrupted')",
            name=op.f("ck_runs_status"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "conversation_id"],
            ["conversations.tenant_id", "conversations.conversation_id"],
            name=op.f("fk_runs_conversations"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("tenant_id", "run_id", name=op.f("pk_runs")),
    )
    op.create_index(
        "ix_runs_latest", "runs", ["tenant_id", "conversation_id", sa.literal_column("created_at DESC")], unique=False
    )
    op.create_index(
        "ix_runs_lease",
        "runs",
        ["lease_until"],
        unique=False,
        postgresql_where=sa.text("status IN ('queued', 'running', 'waiting')"),
    )
    op.create_index(
        "uq_runs_live",
        "runs",
        ["tenant_id", "conversation_id"],
        unique=True,
        postgresql_where=sa.text("status IN ('queued', 'running', 'waiting')"),
    )
    op.create_table(
        "session_entries",
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("position", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("conversation_id", sa.Uuid(), nullable=False),
        sa.Column("session_key", sa.Text(), nullable=False),
        sa.Column("entry_uuid", sa.Text(), nullable=True),
        sa.Column("entry", sa.JSON(), nullable=False),
        sa.Column(
            "created_at", sa.TIMESTAMP(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "conversation_id"],
            ["conversations.tenant_id", "conversations.conversation_id"],
            name=op.f("fk_session_entries_conversations"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("tenant_id", "position", name=op.f("pk_session_entries")),
    )
    op.create_index(
        "ix_session_entries_key",
        "session_entries",
        ["tenant_id", "conversation_id", "session_key", "position"],
        unique=False,
    )
    op.create_index(
        "uq_session_entries_uuid",
        "session_entries",
        ["tenant_id", "conversation_id", "session_key", "entry_uuid"],
        unique=True,
        postgresql_where=sa.text("entry_uuid IS NOT NULL"),
    )
    op.create_table(
        "events",
        sa.Column("tenant_id", sa.String(length=100), nullable=False),
        sa.Column("run_id", sa.Uuid(), nullable=False),
        sa.Column("seq", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("data", sa.Text(), nullable=False),
        sa.Column("source_seq", sa.BigInteger(), nullable=True),
        sa.Column(
            "created_at", sa.TIMESTAMP(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "run_id"], ["runs.tenant_id", "runs.run_id"], name=op.f("fk_events_runs"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("tenant_id", "run_id", "seq", name=op.f("pk_events")),
    )


def upgrade() -> None:
    _roles()
    _tables()
    _tenancy()
    _event_writer()
    for grant in GRANTS:
        op.execute(f"GRANT {grant}")


def downgrade() -> None:
    op.drop_table("events")
    op.drop_index(
        "uq_session_entries_uuid", table_name="session_entries", postgresql_where=sa.text("entry_uuid IS NOT NULL")
    )
    op.drop_index("ix_session_entries_key", table_name="session_entries")
    op.drop_table("session_entries")
    op.drop_index(
        "uq_runs_live", table_name="runs", postgresql_where=sa.text("status IN ('queued', 'running', 'waiting')")
    )
    op.drop_index(
        "ix_runs_lease", table_name="runs", postgresql_where=sa.text("status IN ('queued', 'running', 'waiting')")
    )
    op.drop_index("ix_runs_latest", table_name="runs")
    op.drop_table("runs")
    op.drop_table("messages")
    op.drop_index("ix_conversations_user", table_name="conversations")
    op.drop_index(op.f("ix_conversations_model_id"), table_name="conversations")
    op.drop_index("ix_conversations_latest", table_name="conversations")
    op.drop_table("conversations")
    op.drop_index(op.f("ix_tenants_model_id"), table_name="tenants")
    op.drop_table("tenants")
    op.drop_index("ix_usage_logs_run", table_name="usage_logs")
    op.drop_index("ix_usage_logs_model", table_name="usage_logs")
    op.drop_index("ix_usage_logs_latest", table_name="usage_logs")
    op.drop_table("usage_logs")
    op.drop_index(op.f("ix_models_bedrock_model_id"), table_name="models")
    op.drop_table("models")
    op.drop_table("idempotency_keys")
