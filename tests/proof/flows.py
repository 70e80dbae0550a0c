"""The flows that are proved, as data.

To add one:

1. Write its steps. A step is a function of the case: it calls a door of `case.stage` (`action`,
   `rest`, `tick`), takes the yes with `case.says(...)`, which raises for anything else, and writes
   down what it was promised with `case.heard.heard(kind, ...)` (kinds and how each is looked up:
   acknowledged.py; a new kind is a function there). What a replay must answer again goes through
   `case.same(name, value)`. A key is `case.key`, which is new for each case.
2. Say who takes each step: a client (who may repeat it at any time), a "payer" (whose doing is the
   gateway's affair and makes no call of ours), or a "cron".
3. Write `expected`: what the books say once everything has come through, as a list of complaints.
4. Name the crons that could mend something of it, unless the three of a payment are all.
5. Add the flow to FLOWS. Its calls are numbered and spoilt by machine, and every site in the
   service that no flow comes through fails test_every_call_site_is_come_through by name.

Webhooks and outbox events are delivered after each step, without being steps: whatever the gateway
or the outbox wrote about this case. With `couriers=False` none is, and steps tick the crons.
"""

from __future__ import annotations

from proof import (
    banking,
    buying,
    disputing,
    expiring,
    listing,
    ordering,
    paying,
    paying_again,
    publishing,
    recurring,
    refunding,
    spending,
)
from proof.cases import Flow

FLOWS: tuple[Flow, ...] = (
    *buying.FLOWS,
    *refunding.FLOWS,
    *disputing.FLOWS,
    *spending.FLOWS,
    *expiring.FLOWS,
    *listing.FLOWS,
    *recurring.FLOWS,
    *ordering.FLOWS,
    *paying.FLOWS,
    *paying_again.FLOWS,
    *publishing.FLOWS,
    *banking.FLOWS,
)
