"""What of the gateways' books is about one case: it names an id of the case's."""

from __future__ import annotations

import json
from datetime import datetime

from proof.ledgers import spellings
from proof.stage import Stage

OURS = """
select unnest(array[payment_attempts.id::text, gateway_payment_id, gateway_session_id]) as id
from payment_attempts
left join checkout_sessions on payment_attempt_id = payment_attempts.id
where payment_attempts.created_at >= %(since)s
union all
select id::text from refunds where created_at >= %(since)s
union all
select unnest(array[id::text, gateway_session_id])
from autopay_mandates
where created_at >= %(since)s
"""


def names(stage: Stage, gateway: str, position: int, since: datetime) -> set[str]:
    """Collect the ids by which a gateway knows a case: ours, and those of its own objects.

    What the gateway made and did not live to tell us carries an id of ours. The case began at that
    position of the gateways' books, and at that time.
    """
    rows = stage.sql(OURS, since=since)
    found = {name for row in rows if row["id"] for name in spellings(row["id"])}
    for one in stage.gateway_objects("*", position, gateway):
        if one.get("object") != "event" and mentions(json.dumps(one), found):
            found.add(one["id"])
    return found


def mentions(text: str, names: set[str]) -> bool:
    return any(name in text for name in names)
