"""The application, for a server to import."""

from app.config import Settings
from app.core.app_factory import create_app
from app.core.lifespan import lifespan

settings = Settings()
app = create_app(settings, lifespan=lifespan(settings))
