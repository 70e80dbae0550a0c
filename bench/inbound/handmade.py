"""A service by hand: Flask and psycopg, one endpoint that verifies a webhook and books it.

Nothing between it and Postgres, one round trip an event, one commit: the event is kept once, the
capture is posted, the outbox has its row. It knows one event of one gateway, and no more.
"""

from __future__ import annotations

import hmac
import json
import os
import threading
import time

import psycopg
from flask import Flask, Response, jsonify, request

from inbound.books import CLEARING, CUSTOMERS
from inbound.messages import SECRET

POST = "select post(%s, %s, %s, %s, %s, %s)"
STAMP_AGE_S_MAX = 300

flask = Flask(__name__)
local = threading.local()


def connection() -> psycopg.Connection:
    if not hasattr(local, "db"):
        local.db = psycopg.connect(os.environ["DATABASE_URL"], autocommit=True)
    db: psycopg.Connection = local.db
    return db


def is_genuine(body: bytes, header: str) -> bool:
    parts = dict(part.split("=", 1) for part in header.split(","))
    expected = hmac.digest(SECRET.encode(), parts["t"].encode() + b"." + body, "sha256").hex()
    fresh = abs(time.time() - int(parts["t"])) <= STAMP_AGE_S_MAX
    return fresh and hmac.compare_digest(expected, parts["v1"])


@flask.post("/stripe-webhook")
def receive() -> tuple[Response, int]:
    body = request.get_data()
    if not is_genuine(body, request.headers.get("stripe-signature", "")):
        return jsonify(error="not genuine"), 401
    event = json.loads(body)
    paid = event["data"]["object"]
    reference = int(paid["metadata"]["payment_attempt_id"][:8], 16)
    values = (
        event["id"],
        body.decode(),
        paid["payment_intent"],
        reference % CLEARING,
        CLEARING + reference % CUSTOMERS,
        paid["amount_total"],
    )
    row = connection().execute(POST, values).fetchone()
    return jsonify(received=True, status="applied" if row and row[0] else "ignored"), 200
