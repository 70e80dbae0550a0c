"""GET /console: a page for people. Three files, no framework, nothing from another host."""

from __future__ import annotations

from pathlib import Path

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

FILES = Path(__file__).parent / "console"
TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}

# The page may load its own files and speak to its own host. Nothing else.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "cache-control": "no-cache",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


def routes() -> list[Route]:
    """Return the routes of the console, and the way to it from the bare address."""
    found = [
        Route("/", _to_console, methods=["GET"]),
        Route("/console", _file("index.html"), methods=["GET"]),
    ]
    names = sorted(item.name for item in FILES.iterdir() if item.suffix in TYPES)
    return found + [Route(f"/console/{name}", _file(name), methods=["GET"]) for name in names]


async def _to_console(_request: Request) -> Response:
    return RedirectResponse("console", status_code=302)


def _file(name: str) -> Response:
    path = FILES / name
    kind = f"{TYPES[path.suffix]}; charset=utf-8"
    return Response(path.read_bytes(), media_type=kind, headers=HEADERS)
