"""Webhook endpoints, their secrets, and the rotation of a secret."""

from collections.abc import Sequence

from stripe.params._webhook_endpoint_create_params import WebhookEndpointCreateParams
from stripe.params._webhook_endpoint_list_params import WebhookEndpointListParams
from stripe.params._webhook_endpoint_update_params import WebhookEndpointUpdateParams

from sandbox.gateways.server.state import Books, Document, Slice, public
from sandbox.gateways.stripe.calls import Call, Operation
from sandbox.gateways.stripe.errors import invalid
from sandbox.gateways.stripe.objects import fetch, new_id, show, show_list

KIND = "webhook_endpoint"
MOST = 16
FROM_COMMAND_LINE = "we_commandline"


class Endpoints:
    def __init__(self, books: Books) -> None:
        self.books = books

    def operations(self) -> list[Operation]:
        base = "/v1/webhook_endpoints"
        one = base + "/{id}"
        create, update = WebhookEndpointCreateParams, WebhookEndpointUpdateParams
        return [
            Operation("POST", base, "webhook_endpoints.create", self._create, create),
            Operation("GET", base, "webhook_endpoints.list", self._list, WebhookEndpointListParams),
            Operation("GET", one, "webhook_endpoints.retrieve", self._retrieve),
            Operation("POST", one, "webhook_endpoints.update", self._update, update),
            Operation("DELETE", one, "webhook_endpoints.delete", self._delete),
        ]

    def configure(self, urls: Sequence[str], secrets: Sequence[str], events: Sequence[str]) -> None:
        """Make the endpoints named on the command line exist, and no others of that origin."""
        with self.books.store.transaction():
            for known in self.books.page(KIND, Slice(limit=100))[0]:
                if known["id"].startswith(FROM_COMMAND_LINE):
                    self.books.delete(KIND, known["id"])
            for number, url in enumerate(urls, start=1):
                endpoint = self._new(url, list(events))
                endpoint["id"] = FROM_COMMAND_LINE + (str(number) if number > 1 else "")
                endpoint["_secrets"] = [{"secret": secret, "until": None} for secret in secrets]
                self.books.insert(KIND, endpoint)

    def secrets(self, endpoint: str) -> list[str]:
        """Give the secrets in force: the present one, and an older one until it runs out."""
        found = self.books.find(KIND, endpoint)
        if found is None:
            return []
        now = self.books.store.now()
        return [
            one["secret"] for one in found["_secrets"] if one["until"] is None or one["until"] > now
        ]

    def roll(self, endpoint: str, seconds: int) -> str:
        """Give an endpoint a new secret; the old ones keep signing beside it for a while."""
        found = self.books.get(KIND, endpoint)
        end = self.books.store.now() + seconds
        older = [
            one if one["until"] is not None else one | {"until": end} for one in found["_secrets"]
        ]
        secret = new_id("whsec", 32)
        found["_secrets"] = [{"secret": secret, "until": None}, *older]
        self.books.update(KIND, found)
        return secret

    def _new(self, url: str, events: list[str]) -> Document:
        return {
            "id": new_id("we"),
            "object": "webhook_endpoint",
            "api_version": None,
            "application": None,
            "created": self.books.store.now(),
            "description": None,
            "enabled_events": events,
            "livemode": False,
            "metadata": {},
            "status": "enabled",
            "url": url,
            "_secrets": [],
        }

    def _create(self, call: Call) -> Document:
        params = call.params
        _check_url(params["url"])
        if len(self.books.page(KIND, Slice(limit=100))[0]) >= MOST:
            raise invalid(f"You have reached the maximum of {MOST} test webhook endpoints.", "url")
        endpoint = self._new(params["url"], params["enabled_events"])
        for name in ("api_version", "description", "metadata"):
            endpoint[name] = params.get(name) or endpoint[name]
        secret = new_id("whsec", 32)
        endpoint["_secrets"] = [{"secret": secret, "until": None}]
        self.books.insert(KIND, endpoint)
        return show(self.books, endpoint, params) | {"secret": secret}

    def _retrieve(self, call: Call) -> Document:
        return show(self.books, fetch(self.books, KIND, call.path["id"], "id"), call.params)

    def _list(self, call: Call) -> Document:
        return show_list(self.books, KIND, "/v1/webhook_endpoints", call.params)

    def _update(self, call: Call) -> Document:
        endpoint = fetch(self.books, KIND, call.path["id"], "id")
        params = call.params
        if "url" in params:
            _check_url(params["url"])
        for name in ("url", "enabled_events", "description"):
            if name in params:
                endpoint[name] = params[name] or None
        if "metadata" in params:
            endpoint["metadata"] = merged(endpoint["metadata"], params["metadata"])
        if "disabled" in params:
            endpoint["status"] = "disabled" if params["disabled"] else "enabled"
        self.books.update(KIND, endpoint)
        return public(endpoint)

    def _delete(self, call: Call) -> Document:
        endpoint = fetch(self.books, KIND, call.path["id"], "id")
        self.books.delete(KIND, endpoint["id"])
        return {"id": endpoint["id"], "object": "webhook_endpoint", "deleted": True}


def merged(old: dict[str, str], new: dict[str, str]) -> dict[str, str]:
    """Merge metadata as Stripe does: an empty value removes its key, nothing removes all."""
    if not new:
        return {}
    return {name: value for name, value in (old | new).items() if value != ""}


def _check_url(url: str) -> None:
    if not url.startswith(("http://", "https://")):
        raise invalid("Invalid URL: An explicit scheme (such as https) must be provided.", "url")
