"""Our page on a merchant's site: who may frame it, and the script that the site includes."""

from base64 import b64encode
from dataclasses import dataclass
from functools import cache
from hashlib import sha256, sha384
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from flask import Response, request

# Sites name the version that they have tried, and the hash of its bytes: it never changes.
SCRIPT = "checkout-1.js"
SCRIPTS = Path(__file__).parents[1] / "scripts"

# Where a gateway's page opens, for none of them lets itself be framed.
TARGETS = {"tab": "munim", "top": "_top"}


@dataclass(frozen=True, slots=True)
class Frame:
    """A site that our page is shown on. `language` is in its address: frames keep no cookies."""

    origin: str
    window: str  # of TARGETS
    language: str

    @property
    def target(self) -> str:
        return TARGETS[self.window]

    @property
    def query(self) -> str:
        return urlencode({"origin": self.origin, "in": self.window, "lang": self.language})


def frame_of(page: dict[str, Any], fields: dict[str, str], language: str) -> Frame | None:
    """Tell in which site's frame a page is asked for; None: in none, or in one that may not."""
    origin, window = fields.get("origin", ""), fields.get("in", "top")
    if origin not in page["embedding_origins"]:
        return None
    return Frame(origin, window if window in TARGETS else "top", language)


def script(*, is_pinned: bool) -> Response:
    """Answer checkout.js to any site: for ever by its version, else the newest, asked for anew."""
    text = _text()
    policy = "public, max-age=31536000, immutable" if is_pinned else "public, max-age=300"
    answer = Response(text, content_type="text/javascript; charset=utf-8")
    answer.headers.update(
        {
            "Cache-Control": policy,
            "Access-Control-Allow-Origin": "*",  # a browser checks a hash only of what it may read
            "Cross-Origin-Resource-Policy": "cross-origin",
            "X-Content-Type-Options": "nosniff",
        }
    )
    answer.set_etag(sha256(text).hexdigest()[:32])
    answer.make_conditional(request)
    return answer


def integrity() -> str:
    """Name the script's bytes as a script element does."""
    return f"sha384-{b64encode(sha384(_text()).digest()).decode()}"


@cache
def _text() -> bytes:
    return (SCRIPTS / SCRIPT).read_bytes()
