"""The doors of the service, on a real database: what is asked, what is refused, by its code."""

from typing import Any

import psycopg
import pytest
from books import Tenant, broken_invariants, settle
from in_process import CrashError, House
from marshmallow import ValidationError
from money_back import balances
from psycopg.rows import dict_row

from app import gateways
from app.bank_transfers import actions, crons, schemas
from app.endpoints import ACTOR_ROLE
from app.errors import ForbiddenError, SecondPersonNeededError, TransferKnownError
from app.findings import BY_HAND, Method
from app.organizations.actions import set_organization_member
from app.organizations.schemas import OrganizationMemberSchema
from app.refunds.actions import refund_payment
from app.refunds.schemas import RefundPaymentSchema

from .conftest import Counter, staffed

ACCOUNT = {
    "holder_name": "Campus",
    "bank_name": "HDFC Bank",
    "account_number": "50200012345678",
    "ifsc": "HDFC0000123",
}
TRANSFER = {
    "bank_account_id": "6f1e9a3e-5a55-4a5a-9a55-000000000001",
    "rail": "neft",
    "reference": "AXISCN1153863727",
    "amount": 245000,
    "value_date": "2026-11-21",
    "idempotency_key": "k",
}
SOME_ID = "6f1e9a3e-5a55-4a5a-9a55-000000000002"


class Desk:
    """The service in this process, with an office behind it and an order to be paid."""

    def __init__(self, url: str) -> None:
        self.url = url
        with psycopg.connect(url, row_factory=dict_row) as db:
            self.tenant: Tenant = settle(db)
            counter = staffed(db, self.tenant)
            self.session = counter.session
            self.order = counter.order()
            self.today = counter.today().isoformat()

    def ctx(self, user: str, role: str = "finance") -> Any:
        told = {"x-hasura-user-id": user, ACTOR_ROLE: role}
        return House(self.url, self.session | told).ctx

    def open_account(self) -> dict[str, Any]:
        loaded = schemas.BankAccountSchema().load(ACCOUNT)
        row = actions.add_bank_account(self.ctx("meera"), loaded)
        named = schemas.AccountSchema().load({"bank_account_id": row["id"]})
        return actions.approve_bank_account(self.ctx("chandan"), named)

    def record(self, account: dict[str, Any], **changes: Any) -> dict[str, Any]:
        asked = TRANSFER | {"bank_account_id": account["id"], "value_date": self.today} | changes
        loaded = schemas.RecordTransferSchema().load(asked)
        return actions.record_bank_transfer(self.ctx("meera"), loaded)

    def approve(self, transfer: dict[str, Any], user: str = "chandan") -> dict[str, Any]:
        loaded = schemas.TransferSchema().load({"bank_transfer_id": transfer["id"]})
        return actions.approve_bank_transfer(self.ctx(user), loaded)

    def counter(self, db: Any) -> Counter:
        return Counter(db, self.session, self.tenant.organization_id)


@pytest.fixture
def desk(database: str) -> Desk:
    return Desk(database)


def test_a_transfer_goes_from_the_statement_to_the_order_and_back(desk: Desk) -> None:
    account = desk.open_account()
    entered = desk.record(account)
    match = {"bank_transfer_id": entered["id"], "order_display_id": desk.order["display_id"]}
    actions.match_bank_transfer(desk.ctx("meera"), schemas.MatchTransferSchema().load(match))
    with pytest.raises(SecondPersonNeededError):
        desk.approve(entered, "meera")
    assert desk.approve(entered)["amount_used"] == "245000"

    asked = {
        "payment_intent_id": str(desk.order["payment_intent_id"]),
        "amount": 45000,
        "reason": "requested_by_customer",
        "idempotency_key": "refund-1",
    }
    loaded = RefundPaymentSchema().load(asked)
    refund = refund_payment(desk.ctx("meera"), loaded)
    assert refund["status"] == "created"
    assert refund_payment(desk.ctx("meera"), loaded) == refund

    paid = desk.record(
        account,
        kind="refund",
        refund_id=refund["refund_id"],
        amount=45000,
        reference="R1",
        idempotency_key="k2",
    )
    assert desk.approve(paid)["status"] == "approved"
    assert refund_payment(desk.ctx("meera"), loaded)["status"] == "succeeded"
    with psycopg.connect(desk.url, row_factory=dict_row) as db:
        assert broken_invariants(db) == {}


def test_refusals_come_by_their_names(desk: Desk) -> None:
    account = desk.open_account()
    desk.record(account)

    with pytest.raises(TransferKnownError):
        desk.record(account, idempotency_key="other")
    reject = schemas.RejectTransferSchema().load({"bank_transfer_id": SOME_ID, "reason": "no"})
    with pytest.raises(ForbiddenError):
        actions.reject_bank_transfer(desk.ctx("stranger"), reject)


def test_an_owner_takes_somebody_off_and_their_entries_with_them(desk: Desk) -> None:
    transfer = desk.record(desk.open_account())
    asked = {"user_id": "meera", "role": "finance", "status": "suspended"}
    member = set_organization_member(
        desk.ctx("omkar", "owner"), OrganizationMemberSchema().load(asked)
    )

    assert (member["status"], member["set_by"]) == ("suspended", "user:omkar")
    with pytest.raises(SecondPersonNeededError):
        desk.approve(transfer)


@pytest.fixture
def cron(desk: Desk) -> House:
    """The cron's part of the service, three days after an order was called off."""
    account = desk.open_account()
    desk.approve(desk.record(account, amount=1000, order_display_id=desk.order["display_id"]))
    desk.record(account, reference="OTHER1", idempotency_key="k2")
    with psycopg.connect(desk.url, row_factory=dict_row) as db:
        db.execute("update payment_intents set status = 'canceled'")
        db.execute("update clock set skew_seconds = skew_seconds + 3 * 86400")
    return House(desk.url, desk.session | {"x-hasura-role": "service"})


def test_the_cron_uses_what_was_held_and_lists_what_waits(cron: House) -> None:
    assert crons.settle_bank_transfers(cron.ctx) == {"settled": 1, "listed": 1}
    assert crons.settle_bank_transfers(cron.ctx) == {"settled": 0, "listed": 0}


@pytest.mark.parametrize("is_after", [False, True])
@pytest.mark.parametrize("at", [1, 2, 3])
def test_a_cron_that_dies_anywhere_uses_and_lists_each_once(
    desk: Desk, cron: House, at: int, is_after: bool
) -> None:
    cron.plan(at, is_after=is_after)
    with pytest.raises(CrashError):
        crons.settle_bank_transfers(cron.ctx)
    cron.plan(0, is_after=False)
    crons.settle_bank_transfers(cron.ctx)

    with psycopg.connect(desk.url, row_factory=dict_row) as db:
        assert balances(db, desk.tenant) == {"bank INR": 1000, "refunds_pending INR": -1000}
        waiting = "select count(*) as n from exceptions where class = 'bank-transfer-waiting'"
        assert db.execute(waiting).fetchone() == {"n": 1}
        assert broken_invariants(db) == {}


def test_no_adapter_is_called_as_what_has_none() -> None:
    assert BY_HAND == Method.BANK_TRANSFER
    assert BY_HAND not in gateways.names()


@pytest.mark.parametrize(
    "wrong",
    [
        {"amount": 0},
        {"amount": -1},
        {"amount": 10**15 + 1},
        {"amount": 2450.0},
        {"amount": "2,450.00"},
        {"amount": "२४५०"},
        {"amount": True},
        {"amount": None},
        {"rail": "swift"},
        {"rail": None},
        {"kind": "gift"},
        {"reference": ""},
        {"reference": "0000"},
        {"reference": "-/- "},
        {"reference": "A" * 41},
        {"reference": "UTR\n1"},
        {"reference": "१२३४"},
        {"reference": 17},
        {"value_date": "21/11/2026"},
        {"value_date": "2026-02-30"},
        {"value_date": None},
        {"payer_name": ""},
        {"payer_name": "A" * 141},
        {"payer_name": "A\0"},
        {"note": "A" * 1001},
        {"order_display_id": ""},
        {"order_display_id": "TXN\n1"},
        {"bank_account_id": "1"},
        {"refund_id": SOME_ID},
        {"returned_id": SOME_ID},
        {"kind": "refund"},
        {"kind": "return"},
        {"kind": "refund", "refund_id": SOME_ID, "order_display_id": "TXN-1"},
        {"idempotency_key": ""},
        {"idempotency_key": "k" * 256},
        {"checked_by": "chandan"},
        {"status": "approved"},
    ],
)
def test_an_entry_that_is_not_right_is_refused_at_the_door(wrong: dict[str, Any]) -> None:
    schemas.RecordTransferSchema().load(TRANSFER)
    with pytest.raises(ValidationError):
        schemas.RecordTransferSchema().load(TRANSFER | wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        {"account_number": "12345"},
        {"account_number": "1" * 21},
        {"account_number": "5020 0012"},
        {"account_number": "५०२०००१२३"},
        {"ifsc": "hdfc0000123"},
        {"ifsc": "HDFC1000123"},
        {"ifsc": "HDFC0000123\n"},
        {"holder_name": ""},
        {"bank_name": "A" * 141},
        {"status": "open"},
    ],
)
def test_an_account_that_is_none_is_refused_at_the_door(wrong: dict[str, Any]) -> None:
    schemas.BankAccountSchema().load(ACCOUNT)
    with pytest.raises(ValidationError):
        schemas.BankAccountSchema().load(ACCOUNT | wrong)


@pytest.mark.parametrize(
    "wrong",
    [{"role": "operator"}, {"role": "customer"}, {"status": "gone"}, {"user_id": ""}, {"x": 1}],
)
def test_a_role_that_is_none_is_refused_at_the_door(wrong: dict[str, Any]) -> None:
    asked = {"user_id": "meera", "role": "finance"}
    OrganizationMemberSchema().load(asked)
    with pytest.raises(ValidationError):
        OrganizationMemberSchema().load(asked | wrong)
