"""Every setting of the program: the only reader of the environment."""

from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, EnvSettingsSource, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

ROOT = Path(__file__).resolve().parent.parent

Seconds = Annotated[float, Field(gt=0)]
Mebibytes = Annotated[int, Field(ge=1)]


def _split(value: object) -> object:
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


def _known_zone(name: str) -> str:
    ZoneInfo(name)
    return name


Folder = Annotated[Path, AfterValidator(Path.absolute)]
List = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
SecretList = Annotated[tuple[SecretStr, ...], NoDecode, BeforeValidator(_split)]


class _FileSource(EnvSettingsSource):
    """`NAME_FILE` names a file whose content is the value of `NAME`."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:  # noqa: ARG002 -- inherited
        path = self.env_vars.get(f"{field_name}_file") or self.env_vars.get(f"{field_name}_FILE".upper())
        return (Path(path).read_text(encoding="utf-8").strip() if path else None), field_name, False


class _Group(BaseSettings):
    model_config = SettingsConfigDict(frozen=True, env_file=".env", env_ignore_empty=True, extra="ignore")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, _FileSource(settings_cls), dotenv_settings, file_secret_settings


class Server(_Group):
    """The process and its door."""

    app_env: Literal["development", "production"] = "development"
    """`production` refuses to start without keys and safe defaults."""
    app_host: str = "127.0.0.1"
    """Address to listen on. Anything but loopback needs an API key."""
    app_port: int = Field(default=8000, ge=0, le=65535)
    """TCP port; 0 takes a free one."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """Lowest level written to the log."""
    shutdown_timeout: Seconds = 30.0
    """Seconds from SIGTERM to the end of the process."""
    metrics_enabled: bool = True
    """Whether `/metrics` exists."""
    timezone: Annotated[str, AfterValidator(_known_zone)] = "UTC"
    """IANA zone that dates without one are read in."""
    api_keys: SecretList = ()
    """Comma-separated keys that may do everything, at least 16 characters each."""
    cors_origins: List = ("http://localhost:3000", "http://localhost:3001")
    """Comma-separated origins that browsers may call from."""
    hsts_enabled: bool = True
    """Whether answers carry Strict-Transport-Security (in production only)."""
    data_dir: Folder = ROOT / ".data"
    """Folder of the embedded services, local objects and sandboxes."""


class Database(_Group):
    """PostgreSQL; embedded under `DATA_DIR` when no URL is given."""

    database_url: SecretStr | None = None
    """URL of the app's own login (`postgresql://…`): it owns nothing and is no superuser."""
    database_owner_url: SecretStr | None = None
    """URL of the schema's owner, for migrations only."""
    database_pool_size: int = Field(default=20, ge=2, le=500)
    """Connections a process keeps at most."""
    database_timeout: Seconds = 10.0
    """Seconds a statement or the wait for a connection may take."""


class Redis(_Group):
    """Redis; embedded under `DATA_DIR` when no URL is given."""

    redis_url: SecretStr | None = None
    """URL, e.g. `redis://localhost:6379/0`."""
    redis_password: SecretStr | None = None
    """Password, when the URL has none."""


class Objects(_Group):
    """The object store; a folder under `DATA_DIR` when no bucket is given."""

    s3_bucket_name: str | None = None
    """Bucket of workspaces and skills."""


class ModelService(_Group):
    """AWS Bedrock."""

    claude_code_use_bedrock: Literal["1"] = "1"
    """Kept for operators who set it; Bedrock is the only model service."""
    aws_region: str = "us-west-2"
    """Region of models that name none."""
    aws_access_key_id: SecretStr | None = None
    """Static credentials; without them botocore's usual chain is asked."""
    aws_secret_access_key: SecretStr | None = None
    """See `AWS_ACCESS_KEY_ID`."""
    aws_session_token: SecretStr | None = None
    """See `AWS_ACCESS_KEY_ID`."""
    bedrock_endpoint_url: str | None = None
    """Base URL instead of AWS's own, e.g. a VPC endpoint or the stand-in."""
    anthropic_sonnet_model: str = "global.anthropic.claude-sonnet-4-5-20250929-v1:0"
    """Bedrock id for main agents that name no other model."""
    anthropic_haiku_model: str = "global.anthropic.claude-haiku-4-5-20251001-v1:0"
    """Bedrock id for titles, side calls and sub-agents."""
    model_call_timeout: Seconds = 300.0
    """Seconds one model call may be silent before it counts as failed."""


class Runs(_Group):
    """Runs, their leases and their streams."""

    run_timeout: Seconds = 600.0
    """Seconds a whole run may take."""
    run_max_turns: int = Field(default=100, ge=1, le=1000)
    """Model turns in one run unless the request asks for fewer."""
    lease_seconds: Seconds = 10.0
    """Seconds after which a silent owner's runs are taken from it."""
    lease_renewal_seconds: Seconds = 3.0
    """Seconds between two renewals; at most a third of the lease."""
    ping_seconds: Seconds = 10.0
    """Seconds without an event after which a stream says `ping`."""
    stream_stall_seconds: Seconds = 30.0
    """Seconds a client may take no byte before its stream is cut."""
    title_timeout: Seconds = 10.0
    """Seconds a conversation's title may take after the answer is there."""
    request_max_mebibytes: Mebibytes = 8
    """Largest JSON body."""
    upload_max_mebibytes: Mebibytes = 100
    """Largest multipart body of a conversation's stream, all its files together."""


class Uploads(_Group):
    """Files that come with messages; what a file is, is taken from its name and declared type."""

    upload_image_mebibytes: Mebibytes = 5
    """Largest image."""
    upload_pdf_mebibytes: Mebibytes = 20
    """Largest PDF."""
    upload_office_mebibytes: Mebibytes = 30
    """Largest text document, table or presentation of an office program."""
    upload_other_mebibytes: Mebibytes = 5
    """Largest file of any other kind."""


class Sandboxes(_Group):
    """Where agents run."""

    sandbox_provider: Literal["local"] = "local"
    """Which provider makes sandboxes."""
    sandbox_memory: Mebibytes = 2048
    """MiB of memory of one sandbox."""
    sandbox_pids: int = Field(default=512, ge=32)
    """Processes and threads of one sandbox."""
    sandbox_cpus: float = Field(default=2.0, gt=0)
    """Processors of one sandbox."""
    sandbox_tmpfs: Mebibytes = 512
    """MiB of each writable memory file system of one sandbox."""
    sandbox_max: int = Field(default=32, ge=1)
    """Sandboxes that live at once in this process; the longest idle one makes room."""
    sandbox_prewarm_max: int = Field(default=8, ge=0)
    """Sandboxes that wait for a first message at most."""
    sandbox_idle_seconds: Seconds = 3600.0
    """Seconds an unused sandbox is kept."""
    sandbox_start_timeout: Seconds = 60.0
    """Seconds a sandbox may take until its agent is up."""
    sandbox_site_packages: Folder = ROOT / ".runner" / "site-packages"
    """Folder of the Python packages shown inside."""
    sandbox_uid_base: int = Field(default=20001, ge=1000)
    """First of the 1,000 uids that sandboxes get when the server runs as root."""


class Settings(_Group):
    """All of it."""

    server: Server = Field(default_factory=Server)
    database: Database = Field(default_factory=Database)
    redis: Redis = Field(default_factory=Redis)
    objects: Objects = Field(default_factory=Objects)
    models: ModelService = Field(default_factory=ModelService)
    runs: Runs = Field(default_factory=Runs)
    uploads: Uploads = Field(default_factory=Uploads)
    sandboxes: Sandboxes = Field(default_factory=Sandboxes)

    @cached_property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.server.timezone)
