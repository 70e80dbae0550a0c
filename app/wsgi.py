"""The WSGI application, for serverless-wsgi and any WSGI server.

A server started without its settings says so in one line and does not start.
"""

import sys

from app import create_app
from app.config import ConfigError

try:
    app = create_app()
except ConfigError as failure:
    sys.exit(f"munim: {failure}")
