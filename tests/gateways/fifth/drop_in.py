"""A plugin of pytest's that lets the service find the gateway beside this file."""

from pathlib import Path

from app import gateways

gateways.__path__.append(str(Path(__file__).parent / "app"))
