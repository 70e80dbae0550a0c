"""A started artifact, and the events that AWS's front doors make of one request."""

import base64
import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

RUNTIME = Path(__file__).with_name("runtime.py")
HOST = "a1b2c3.execute-api.ap-south-1.amazonaws.com"

Event = dict[str, Any]


def command(artifact: Path) -> list[str]:
    return [sys.executable, "-B", "-I", "-S", str(RUNTIME), str(artifact)]


class Lambda:
    """A warm function. Its environment holds what it is given and nothing of this process."""

    def __init__(self, artifact: Path, environ: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            command(artifact),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=dict(environ),
            cwd=artifact,
            text=True,
        )

    def __enter__(self) -> Self:
        assert self._read() == "ready"
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate(timeout=60)  # the end of its input ends it

    def answer(self, event: Event) -> Event:
        assert self._process.stdin
        print(json.dumps(event), file=self._process.stdin, flush=True)
        answer: Event = self._read()
        return answer

    def _read(self) -> Any:
        assert self._process.stdout
        line = self._process.stdout.readline()
        assert line, "the function ended"
        return json.loads(line)


@dataclass(frozen=True)
class Request:
    """An HTTP request as the client sent it."""

    path: str
    headers: Mapping[str, str]
    body: bytes
    method: str = "POST"

    def text(self, *, in_base64: bool) -> str:
        """Write the body as AWS does: all of it in base64, or as the text that it is."""
        return base64.b64encode(self.body).decode() if in_base64 else self.body.decode()


def rest_api(request: Request, *, in_base64: bool) -> Event:
    """API Gateway's REST API: proxy event 1.0, header names as the client wrote them."""
    headers = {"Host": HOST, "X-Forwarded-Proto": "https", **request.headers}
    return {
        "resource": "/{proxy+}",
        "path": request.path,
        "httpMethod": request.method,
        "headers": headers,
        "multiValueHeaders": {name: [value] for name, value in headers.items()},
        "queryStringParameters": None,
        "multiValueQueryStringParameters": None,
        "pathParameters": {"proxy": request.path[1:]},
        "requestContext": {"stage": "live", "identity": {"sourceIp": "203.0.113.9"}},
        "body": request.text(in_base64=in_base64) or None,
        "isBase64Encoded": in_base64,
    }


def http_api(request: Request, *, in_base64: bool) -> Event:
    """API Gateway's HTTP API, which serverless.yml makes: event 2.0, names in lower case."""
    body = {"body": request.text(in_base64=in_base64)} if request.body else {}
    return {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": request.path,
        "rawQueryString": "",
        "headers": _lower({"Host": HOST, "X-Forwarded-Proto": "https", **request.headers}),
        "requestContext": {
            "stage": "$default",
            "http": {"method": request.method, "path": request.path, "sourceIp": "203.0.113.9"},
        },
        **body,
        "isBase64Encoded": in_base64,
    }


def http_api_in_version_1(request: Request, *, in_base64: bool) -> Event:
    """API Gateway's HTTP API when it is told to speak event 1.0."""
    event = rest_api(request, in_base64=in_base64)
    headers = _lower(event["headers"])
    many = {name: [value] for name, value in headers.items()}
    return {**event, "version": "1.0", "headers": headers, "multiValueHeaders": many}


def balancer(request: Request, *, in_base64: bool) -> Event:
    """An Application Load Balancer."""
    return {
        "requestContext": {"elb": {"targetGroupArn": "arn:aws:elasticloadbalancing:x"}},
        "httpMethod": request.method,
        "path": request.path,
        "queryStringParameters": {},
        "headers": _lower({"Host": "pay.example", **request.headers}),
        "body": request.text(in_base64=in_base64),
        "isBase64Encoded": in_base64,
    }


def balancer_with_many_values(request: Request, *, in_base64: bool) -> Event:
    """An Application Load Balancer whose target group has multi value headers on."""
    event = balancer(request, in_base64=in_base64)
    many = {name: [value] for name, value in event.pop("headers").items()}
    del event["queryStringParameters"]
    return {**event, "multiValueHeaders": many, "multiValueQueryStringParameters": {}}


def _lower(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


DOORS: list[Callable[..., Event]] = [
    rest_api,
    http_api,
    http_api_in_version_1,
    balancer,
    balancer_with_many_values,
]
