"""The judge: the gateways' own books against ours.

What a gateway holds is read where its simulator keeps it, past the service and its adapters; what
we say of it, in the database. Nothing here asks the service.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from books import broken_invariants
from simulation.dice import GATEWAYS, HOUR
from simulation.held import Held, read
from simulation.town import CURRENCIES, Town

RESOLVED_HOURS_MAX = 24
# When each attempt and refund was over, by the gateway's word at the latest, and when it ended here
# or was listed for a person; in Unix seconds. Money is there from its booking on. A second payment
# of a page has no page of its own: it is looked for when that has closed, perhaps days later. What
# came back of a refund is looked for after a day and after a week.
ENDED = """
with wave as (select %s::timestamptz as began),
endings as (
    select payment_attempt_id, min(created_at) as at
    from gateway_events
    cross join wave
    where created_at >= wave.began and status = 'applied'
        and notice ->> 'outcome' in ('failed', 'expired', 'canceled', 'not_found')
    group by 1
)
select
    'payment' as what, attempts.id::text, attempts.gateway, attempts.status,
    attempts.gateway_payment_id as name,
    extract(epoch from greatest(expires_at, attempts.created_at + interval '25 hours'))::float8
        as over,
    extract(epoch from least(
        coalesce(ledger_transactions.debited_at, endings.at, attempts.created_at),
        exceptions.created_at
    ))::float8 as ended
from payment_attempts as attempts
cross join wave
left join checkout_sessions on checkout_sessions.payment_attempt_id = attempts.id
left join endings on endings.payment_attempt_id = attempts.id
left join ledger_transactions
    on ledger_transactions.key = 'capture:' || attempts.id
    and ledger_transactions.organization_id = attempts.organization_id
    and ledger_transactions.livemode = attempts.livemode
left join exceptions on object_id = attempts.id and class = 'payment-unresolved'
where attempts.created_at >= wave.began
    and not (is_surplus and payment_method_id is null and checkout_sessions.id is null)
union all
select
    'refund', refunds.id::text, gateway, status, null,
    extract(epoch from case
        when status = 'failed' and succeeded_at is not null then succeeded_at + interval '7 days'
        when gateway_refund_id is null then refunds.created_at + interval '25 hours'
        else refunds.created_at
    end)::float8,
    extract(epoch from least(
        case status when 'succeeded' then ledger_transactions.debited_at else updated_at end,
        exceptions.created_at
    ))::float8
from refunds
cross join wave
left join ledger_transactions
    on ledger_transactions.key = 'refund:' || refunds.id
    and ledger_transactions.organization_id = refunds.organization_id
    and ledger_transactions.livemode = refunds.livemode
left join exceptions on object_id = refunds.id and class = 'refund-unresolved'
where refunds.created_at >= wave.began
"""

# Disputes, and when those that are decided were booked so.
DISPUTES = """
select
    'dispute' as what, disputes.id::text, gateway, gateway_dispute_id as name, disputes.status,
    disputes.amount,
    extract(epoch from ledger_transactions.debited_at)::float8 as ended
from disputes
left join ledger_transactions
    on ledger_transactions.key = any(array[
        'dispute-' || disputes.status || ':' || disputes.id,
        'dispute-' || disputes.status || ':' || disputes.id || ':loss'
    ])
    and ledger_transactions.organization_id = disputes.organization_id
    and ledger_transactions.livemode = disputes.livemode
where disputes.created_at >= %s
"""

# What is left of the money of orders that are off, where nobody is told to look at it.
KEPT = """
select orders.reference, attempts.gateway, attempts.gateway_payment_id as name,
    attempts.amount_captured - coalesce(refunded.amount, 0) - coalesce(lost.amount, 0) as kept
from orders
inner join payment_attempts as attempts using (payment_intent_id)
inner join order_events
    on order_events.reference = orders.reference
    and order_events.organization_id = orders.organization_id
    and order_events.livemode = orders.livemode
    and order_events.type = 'order.cancelled'
left join lateral (
    select sum(amount) as amount from refunds
    where refunds.payment_attempt_id = attempts.id and refunds.status = 'succeeded'
) as refunded on true
left join lateral (
    select sum(amount) as amount from disputes
    where disputes.payment_attempt_id = attempts.id and disputes.status = 'lost'
) as lost on true
where attempts.status = 'captured' and attempts.created_at >= %s
    and not exists (
        select from exceptions
        where object_id in (attempts.id, orders.id) and resolved_at is null
    )
    and not exists (
        select from refunds
        inner join exceptions on exceptions.object_id = refunds.id
        where refunds.payment_attempt_id = attempts.id and exceptions.resolved_at is null
    )
"""


@dataclass
class Judge:
    """Compares after each wave; the sums go on from wave to wave."""

    town: Town
    sums: Counter[str] = field(default_factory=Counter)  # what each gateway holds for us
    slowest: dict[str, float] = field(default_factory=dict)  # hours
    charges: int = 0
    surplus: int = 0
    sent_back: int = 0
    untold: int = 0  # disputes of which no webhook told
    called_off: int = 0  # payments of orders that are off, all of which went back
    adopted: int = 0  # refunds that shops made at their gateway

    def after_wave(self, since: str) -> list[str]:
        """Name everything that is wrong with the orders since then."""
        held = {name: read(self.town.houses, name) for name in GATEWAYS}
        for one in held.values():
            self._count(one)
        attempts = self.town.sql(
            "select payment_attempts.id::text, payment_attempts.payment_intent_id::text,"
            " gateway, gateway_payment_id, status, amount_captured, is_surplus, reference"
            " from payment_attempts left join orders using (payment_intent_id)"
            " where payment_attempts.created_at >= %s",
            since,
        )
        faults = [
            *self._charges(held, attempts),
            *self._invented(held, attempts),
            *_paid_twice(attempts),
            *self._refunds(held, since),
            *self._disputes(held, since),
            *self._kept(since),
            *self._open(since),
            *self._slow(held, since),
        ]
        for name, one in held.items():
            done = sum(r.amount for all_ in one.refunds.values() for r in all_ if r.is_done)
            self.sums[name] += sum(one.charges.values()) - done
            self.sums[name] -= sum(each.taken + each.fee for each in one.disputes)
        return [*faults, *self._clearing()]

    def at_the_end(self) -> list[str]:
        """Name everything that is wrong with the books as a whole."""
        faults = [
            f"{view}: {rows[:3]}" for view, rows in broken_invariants(self.town.database).items()
        ]
        sums = self.town.sql("select currency, sum(balance) as sum from ledger_accounts group by 1")
        faults += [
            f"the accounts in {one['currency']} sum to {one['sum']}" for one in sums if one["sum"]
        ]
        return [*faults, *self._clearing()]

    def _count(self, held: Held) -> None:
        self.charges += len(held.charges)
        self.sent_back += sum(one.is_done for there in held.refunds.values() for one in there)

    def _disputes(self, held: Mapping[str, Held], since: str) -> Iterator[str]:
        """A dispute is there for its amount, and was decided in both books or in neither.

        Of one that no webhook told of, a list or a settlement does, which may come days later.
        """
        ours = {(one["gateway"], one["name"]): one for one in self.town.sql(DISPUTES, since)}
        for gateway, books in held.items():
            self.untold += sum(not one.is_told for one in books.disputes)
            for one in books.disputes:
                row = ours.pop((gateway, one.name), None)
                if row is None:
                    yield f"{gateway} has dispute {one.name}, which is in no book"
                elif (row["status"], row["amount"]) != (one.status, one.amount):
                    said = f"{one.status}, {one.amount}; here {row['status']}, {row['amount']}"
                    yield f"{gateway}: dispute {one.name} is {said}"
                elif row["ended"] and (one.is_told or gateway != "cashfree"):
                    yield from self._note(row, (row["ended"] - one.moved_at) / HOUR)
        for gateway, name in ours:
            yield f"our books have dispute {name}, of which {gateway} knows nothing"

    def _charges(
        self, held: Mapping[str, Held], attempts: Iterable[Mapping[str, Any]]
    ) -> Iterator[str]:
        """Each payment that took money is booked once."""
        booked = {
            (one["gateway"], one["gateway_payment_id"]): one
            for one in attempts
            if one["status"] == "captured"
        }
        for gateway, one in held.items():
            for name, amount in one.charges.items():
                attempt = booked.get((gateway, name))
                if attempt is not None:
                    self.surplus += attempt["is_surplus"]
                    if attempt["amount_captured"] != amount:
                        said = attempt["amount_captured"]
                        yield f"{gateway} took {amount} as {name}, and our books say {said}"
                else:
                    yield f"{gateway} took {amount} as {name}, which is in no book"

    def _invented(
        self, held: Mapping[str, Held], attempts: Iterable[Mapping[str, Any]]
    ) -> Iterator[str]:
        for one in attempts:
            name = one["gateway_payment_id"]
            if one["status"] == "captured" and name not in held[one["gateway"]].charges:
                yield f"our books have {name} of {one['gateway']}, which took nothing for it"

    def _refunds(self, held: Mapping[str, Held], since: str) -> Iterator[str]:
        """A refund is there once, for its amount, and has come through in both books or neither."""
        ours = self.town.sql(
            "select id::text, gateway, gateway_refund_id, amount, status, requested_by"
            " from refunds where created_at >= %s",
            since,
        )
        known = set()
        for one in ours:
            made_there = one["requested_by"] == "gateway"
            name = one["gateway_refund_id"] if made_there else one["id"]
            known.add(name)
            there = held[one["gateway"]].refunds.get(name, [])
            alive = [each for each in there if not each.is_undone]
            done = [each.amount for each in alive if each.is_done]
            if len(alive) > 1:
                yield f"{one['gateway']} sent refund {one['id']} {len(alive)} times"
            if one["status"] == "succeeded" and done != [one["amount"]]:
                yield f"refund {one['id']} of {one['amount']} succeeded; {one['gateway']}: {done}"
            if one["status"] in {"failed", "canceled"} and done:
                yield f"refund {one['id']} is {one['status']}, and {one['gateway']} sent {done}"
        for gateway, books in held.items():
            for name, there in books.refunds.items():
                self.adopted += name in known and there[0].refund_id is None
                if name not in known and not all(each.is_undone for each in there):
                    yield f"{gateway} sent back {there}, which is in no book"

    def _kept(self, since: str) -> Iterator[str]:
        """Of an order that is off all money goes back, or a person's list has it."""
        for one in self.town.sql(KEPT, since):
            self.called_off += 1
            if one["kept"]:
                order = one["reference"]
                yield f"{one['gateway']}: {order} is off, and {one['kept']} of {one['name']} stay"

    def _open(self, since: str) -> Iterator[str]:
        """Everything has ended, or a person's list has it."""
        for table in ("payment_attempts", "refunds"):
            rows = self.town.sql(
                f"select id::text, gateway, status from {table} where created_at >= %s"
                " and status in ('created', 'unknown', 'pending', 'processing', 'authorized')"
                " and id not in (select object_id from exceptions where resolved_at is null)",
                since,
            )
            for one in rows:
                yield f"{one['gateway']}: one of {table}, {one['id']}, is {one['status']} for ever"

    def _slow(self, held: Mapping[str, Held], since: str) -> Iterator[str]:
        """What the gateway knew to be over was over here, or listed, within a day.

        A page that nobody pays is over when it closes; what the gateway never heard of, a day and
        an hour after it was asked, when it would have forgotten the key.
        """
        for row in self.town.sql(ENDED, since):
            began = held[row["gateway"]].since.get(row["name"], row["over"])
            yield from self._note(row, (row["ended"] - began) / HOUR)

    def _note(self, row: Mapping[str, Any], hours: float) -> Iterator[str]:
        what = row["what"]
        self.slowest[what] = max(self.slowest.get(what, 0), hours)
        if hours > RESOLVED_HOURS_MAX:
            name = f"{what} {row['id']}"
            yield f"{row['gateway']}: {name} took {hours:.1f} hours to be {row['status']}"

    def _clearing(self) -> Iterator[str]:
        """What our books say a gateway holds for us is what it holds, to the paisa."""
        rows = self.town.sql(
            "select code, currency, sum(balance)::bigint as balance from ledger_accounts"
            " where code like 'gateway:%%' and currency <> 'XCR' group by 1, 2"
        )
        ours = {(one["code"], one["currency"]): one["balance"] for one in rows}
        for name in GATEWAYS:
            balance = ours.pop((f"gateway:{name}", CURRENCIES[name]), 0)
            if balance != self.sums[name]:
                yield f"{name} holds {self.sums[name]} for us, and our books say {balance}"
        for account, balance in ours.items():
            if balance:
                yield f"{account} holds {balance}"


def _paid_twice(attempts: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Of an order's captured attempts one pays it, and the others are surplus."""
    paying: dict[str, list[str]] = defaultdict(list)
    for one in attempts:
        if one["status"] == "captured" and not one["is_surplus"]:
            paying[one["payment_intent_id"]].append(one["id"])
    for intent, ids in paying.items():
        if len(ids) > 1:
            yield f"payment {intent} is paid by {len(ids)} attempts: {ids}"
