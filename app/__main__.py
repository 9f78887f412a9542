"""The commands of the program: serve, migrate, check-migrations."""

import asyncio
import sys
from typing import Annotated

import typer
from sqlalchemy.engine import make_url

from app.config import Settings
from app.core import migrations
from app.core.app_factory import create_app
from app.core.lifespan import lifespan
from app.core.logging import configure_logging, secret_values
from app.core.server import is_loopback, make_server
from app.infrastructure.embedded.postgres import open_postgres

cli = typer.Typer(add_completion=False, no_args_is_help=False, help=__doc__)


@cli.callback(invoke_without_command=True)
def default(context: typer.Context) -> None:
    """Serve, unless told otherwise."""
    if context.invoked_subcommand is None:
        serve()


@cli.command()
def serve() -> None:
    """Serve until SIGTERM or Ctrl-C."""
    settings = Settings()
    configure_logging(settings.server.log_level, secret_values(settings))
    if not settings.server.api_keys and not is_loopback(settings.server.app_host):
        sys.exit("Without API_KEYS the server listens on loopback only: set API_KEYS, or APP_HOST=127.0.0.1.")
    app = create_app(settings, lifespan=lifespan(settings))
    server = make_server(app, settings)
    server.run()
    sys.exit(0 if server.started else 3)


@cli.command()
def migrate() -> None:
    """Bring the schema of DATABASE_OWNER_URL up to date, for the login of DATABASE_URL."""
    settings = Settings().database
    if settings.database_owner_url is None or settings.database_url is None:
        sys.exit("Set DATABASE_OWNER_URL and DATABASE_URL. The embedded database is migrated when the server starts.")
    login = make_url(settings.database_url.get_secret_value()).username or ""
    asyncio.run(migrations.migrate(settings.database_owner_url.get_secret_value(), login))


@cli.command("check-migrations")
def check_migrations(
    folder: Annotated[str, typer.Option(help="Where the throw-away database lives.")] = ".cache/check-migrations",
) -> None:
    """Fail when the tables in the code differ from those the migrations make."""
    found = asyncio.run(_differences(folder))
    if found:
        sys.exit(found)


async def _differences(folder: str) -> str | None:
    base = Settings().server.data_dir.parent / folder
    async with open_postgres(base) as address:
        await migrations.migrate(address.owner_url, "backend_app")
        return await migrations.differences(address.owner_url)


if __name__ == "__main__":
    cli()
