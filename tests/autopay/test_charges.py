"""What happens when a month falls due: charges, declines, silence, crons that come as they like."""

from datetime import UTC, date, datetime, timedelta
from itertools import permutations
from uuid import uuid4

import psycopg
import pytest
from books import Connection, broken_invariants
from mandates import DECLINES, Autopay


@pytest.fixture
def due(autopay: Autopay) -> Autopay:
    """Autopay of 25.00 USD on the 15th, at nine of a 15th."""
    autopay.set_up(day_of_month=15)
    autopay.at("2027-06-15T09:00Z")
    return autopay


def only(autopay: Autopay) -> dict[str, object]:
    (charge,) = autopay.charges()
    return charge


def listed(db: Connection) -> list[str]:
    rows = db.execute("select class from exceptions where resolved_at is null order by class")
    return [row["class"] for row in rows]


def test_a_month_is_announced_charged_and_credited(autopay: Autopay, db: Connection) -> None:
    autopay.set_up(day_of_month=15)
    autopay.at("2027-06-12T08:59Z")
    assert autopay.materialise() == 0
    autopay.at("2027-06-12T09:00Z")
    assert autopay.materialise() == 1
    assert autopay.claim() == []

    autopay.at("2027-06-15T09:00Z")
    (order,) = autopay.run()

    assert (order["amount"], order["currency"], order["credits_amount"]) == (2500, "USD", 250)
    charge = only(autopay)
    assert (charge["status"], charge["tries"], charge["period"]) == ("succeeded", 1, "2027-06")
    assert autopay.credits() == 250
    assert autopay.told() == ["autopay.activated", "autopay.upcoming", "autopay.succeeded"]
    assert broken_invariants(db) == {}


def test_the_announcement_tells_the_amount_and_the_date(autopay: Autopay, db: Connection) -> None:
    autopay.set_up(day_of_month=15)
    autopay.at("2027-06-12T09:00Z")
    autopay.materialise()

    (told,) = db.execute("select data from events where type = 'autopay.upcoming'").fetchall()
    assert (told["data"]["amount"], told["data"]["currency"]) == (2500, "USD")
    assert (told["data"]["due_on"], told["data"]["period"]) == ("2027-06-15", "2027-06")


def test_a_month_is_charged_once_whatever_the_crons_do(due: Autopay, db: Connection) -> None:
    for _ in range(3):
        due.materialise()
        due.materialise()
        due.run()
        assert due.claim() == due.run("soft") == []
        due.at(due.now() + timedelta(minutes=1))

    assert due.states() == {"2027-06": "succeeded"}
    assert due.credits() == 250
    assert len(db.execute("select from payment_attempts").fetchall()) == 1


def test_no_key_of_a_customers_can_stand_for_a_charge(due: Autopay, db: Connection) -> None:
    """Whatever they send before it is tried is a purchase of their own."""
    due.materialise()
    charge_id = only(due)["id"]
    keys = [f"autopay:{charge_id}", str(charge_id)]
    before = [due.money.open(key=key) for key in keys]

    due.run()

    assert due.states() == {"2027-06": "succeeded"}
    assert listed(db) == []
    assert [due.money.open(key=key) for key in keys] == before
    assert only(due)["payment_intent_id"] not in {each["payment_intent_id"] for each in before}
    assert broken_invariants(db) == {}


def test_a_key_that_names_a_finished_charge_buys_anew(due: Autopay, db: Connection) -> None:
    due.run()
    charge = only(due)
    for key in (f"autopay:{charge['id']}", str(charge["id"])):
        bought = due.money.open(key=key)
        assert bought["payment_intent_id"] != charge["payment_intent_id"]
        assert due.money.open(key=key) == bought
    assert broken_invariants(db) == {}


def test_a_year_of_any_ticks_is_twelve_charges(autopay: Autopay, db: Connection) -> None:
    autopay.set_up(day_of_month=31)
    start = datetime(2027, 6, 1, 12, tzinfo=UTC)
    for tick in range(366):
        autopay.at(start + timedelta(days=tick))
        autopay.materialise()
        autopay.run()

    assert len(autopay.charges()) == 12
    assert set(autopay.states().values()) == {"succeeded"}
    assert autopay.credits() == 12 * 250
    assert broken_invariants(db) == {}


@pytest.mark.parametrize(
    ("woken", "expected"),
    [
        ("2027-06-18T08:00Z", {"2027-06": "succeeded"}),  # within three days
        ("2027-06-19T09:00Z", {"2027-06": "skipped"}),
        (
            "2027-09-20T12:00Z",
            {
                "2027-06": "skipped",
                "2027-07": "skipped",
                "2027-08": "skipped",
                "2027-09": "skipped",
            },
        ),
        ("2027-08-16T12:00Z", {"2027-06": "skipped", "2027-07": "skipped", "2027-08": "succeeded"}),
    ],
)
def test_months_that_were_slept_through_are_listed_not_charged(
    autopay: Autopay, db: Connection, woken: str, expected: dict[str, str]
) -> None:
    autopay.set_up(day_of_month=15)
    autopay.at(woken)
    autopay.run()

    assert autopay.states() == expected
    missed = list(expected.values()).count("skipped")
    assert listed(db) == ["autopay-missed"] * missed
    assert autopay.credits() == 250 * list(expected.values()).count("succeeded")
    assert broken_invariants(db) == {}


def test_a_charge_that_was_announced_but_not_run_in_time_is_missed(autopay: Autopay, db) -> None:
    autopay.set_up(day_of_month=15)
    autopay.at("2027-06-13T09:00Z")
    autopay.materialise()
    autopay.at("2027-06-18T09:01Z")

    assert autopay.run() == []
    assert (only(autopay)["status"], only(autopay)["reason"]) == ("skipped", "missed")
    assert listed(db) == ["autopay-missed"]


def test_the_rate_is_the_one_of_the_moment_of_the_first_try(due: Autopay, db: Connection) -> None:
    due.materialise()
    db.execute("update system_settings set value = '20' where key = 'credit_rate_usd'")
    due.run("soft")
    db.execute("update system_settings set value = '30' where key = 'credit_rate_usd'")
    due.at("2027-06-16T09:00Z")
    due.run()

    assert due.credits() == 500


def test_a_soft_decline_is_tried_again_after_one_three_and_five_days(
    due: Autopay, db: Connection
) -> None:
    tried = []
    for hour in range(24 * 8):
        due.at(datetime(2027, 6, 15, 9, tzinfo=UTC) + timedelta(hours=hour))
        tried += [due.now().date()] * len(due.run("soft"))

    assert tried == [date(2027, 6, day) for day in (15, 16, 18, 20)]
    charge = only(due)
    assert (charge["status"], charge["tries"], charge["reason"]) == (
        "failed",
        4,
        "insufficient_funds",
    )
    told = db.execute("select data from events where type = 'autopay.failed' order by sequence")
    assert [row["data"]["next_try_at"] is None for row in told] == [False, False, False, True]
    assert len(db.execute("select from payment_intents").fetchall()) == 1
    assert len(db.execute("select from payment_attempts").fetchall()) == 4
    assert broken_invariants(db) == {}


@pytest.mark.parametrize("tries", [1, 2, 3])
def test_a_later_try_may_succeed(due: Autopay, db: Connection, tries: int) -> None:
    for day in (15, 16, 18, 20)[: tries + 1]:
        due.at(f"2027-06-{day}T09:00Z")
        due.run("soft" if day < (15, 16, 18, 20)[tries] else "paid")

    assert (only(due)["status"], only(due)["tries"]) == ("succeeded", tries + 1)
    assert due.credits() == 250
    assert broken_invariants(db) == {}


def test_the_schedule_is_a_setting(due: Autopay) -> None:
    due.settings(retry_days=[2])
    due.run("soft")
    assert only(due)["next_try_at"] == datetime(2027, 6, 17, 9, tzinfo=UTC)
    due.at("2027-06-17T09:00Z")
    due.run("soft")
    assert only(due)["status"] == "failed"


@pytest.mark.parametrize("days", [[0], [3, 3], [5, 3], [1, 2, 3, 4], [17], [-1], [1, None], None])
def test_a_schedule_that_networks_forbid_is_refused(due: Autopay, db, days) -> None:
    with pytest.raises(psycopg.errors.IntegrityError), db.transaction():
        due.settings(retry_days=days)


def test_no_schedule_is_one_try(due: Autopay) -> None:
    due.settings(retry_days=[])
    due.run("soft")

    assert only(due)["status"] == "failed"


@pytest.mark.parametrize("decline", ["hard", "fraud"])
def test_a_method_that_is_refused_for_good_pauses_the_mandate(
    due: Autopay, db: Connection, decline: str
) -> None:
    due.run(decline)

    charge = only(due)
    assert (charge["status"], charge["reason"]) == ("failed", DECLINES[decline])
    mandate = due.mandate(charge["autopay_mandate_id"])
    assert (mandate["status"], mandate["reason"]) == ("paused", "payment-method-refused")
    assert due.told()[-2:] == ["autopay.failed", "autopay.paused"]
    with pytest.raises(psycopg.Error) as failure, db.transaction():
        due.money.call("resume_autopay", autopay_mandate_id=mandate["id"])
    assert str(failure.value).startswith("payment-method-refused")
    due.at("2027-09-15T09:00Z")
    assert due.run() == []
    assert broken_invariants(db) == {}


def test_another_method_charges_the_month_that_failed(due: Autopay) -> None:
    due.run("hard")
    due.set_up(day_of_month=20)
    due.at("2027-06-20T09:00Z")
    due.run()

    assert [charge["status"] for charge in due.charges()] == ["failed", "succeeded"]


@pytest.mark.parametrize("page_end", ["paid", "expired", None])
def test_a_charge_that_needs_the_payer_waits_for_them_on_a_page(
    due: Autopay, db: Connection, page_end: str | None
) -> None:
    due.run("authentication")
    charge = only(due)
    assert (charge["status"], charge["reason"]) == ("action_required", "authentication_required")
    assert due.told()[-1] == "autopay.action_required"
    due.at("2027-06-17T09:00Z")
    assert due.run() == []

    asked = {
        "autopay_charge_id": charge["id"],
        "success_url": "https://shop.example/paid",
        "cancel_url": "https://shop.example/not",
    }
    (page,) = due.money.call("open_autopay_checkout", **asked)
    (again,) = due.money.call("open_autopay_checkout", **asked)
    assert (again["payment_attempt_id"], page["amount"]) == (page["payment_attempt_id"], 2500)
    due.money.record(page["payment_attempt_id"])
    if page_end:
        due.money.receive(page["payment_attempt_id"], page_end)
        due.at("2027-06-18T09:00Z")
    if page_end == "expired":  # they may open another
        (another,) = due.money.call("open_autopay_checkout", **asked)
        assert another["payment_attempt_id"] != page["payment_attempt_id"]
        due.money.receive(another["payment_attempt_id"], "paid", gateway_session_id=None)

    if page_end:
        assert only(due)["status"] == "succeeded"
        assert due.credits() == 250
    else:
        due.at("2027-06-30T09:00Z")
        due.materialise()
        assert only(due)["status"] == "action_required"  # they may be paying at this moment
        due.money.receive(page["payment_attempt_id"], "expired")
        due.materialise()
        assert only(due)["status"] == "failed"
        assert due.told()[-1] == "autopay.failed"
    assert broken_invariants(db) == {}


def test_a_page_is_opened_only_for_a_charge_that_waits_for_it(due: Autopay, db) -> None:
    due.run()
    with pytest.raises(psycopg.Error) as failure, db.transaction():
        due.money.call(
            "open_autopay_checkout",
            autopay_charge_id=only(due)["id"],
            success_url="https://shop.example",
            cancel_url="https://shop.example",
        )
    assert str(failure.value).startswith("autopay-ended")


@pytest.mark.parametrize("decline", ["gateway", None])
def test_a_failure_that_says_nothing_of_the_method_is_tried_again(due: Autopay, decline) -> None:
    due.run("gateway", decline_class=decline)

    assert (only(due)["status"], only(due)["next_try_at"]) == (
        "due",
        datetime(2027, 6, 16, 9, tzinfo=UTC),
    )


def test_a_payment_that_the_staff_canceled_is_not_tried_again(due: Autopay, db) -> None:
    due.materialise()
    (order,) = due.begin(due.claim())
    due.answer(order, "canceled")
    due.at("2027-06-16T09:00Z")

    assert due.run() == []
    assert due.states() == {"2027-06": "canceled"}
    assert broken_invariants(db) == {}


def cancel(autopay: Autopay) -> None:
    autopay.money.call("cancel_payment", payment_intent_id=only(autopay)["payment_intent_id"])


def test_a_month_whose_payment_is_canceled_between_two_tries_is_not_tried_again(due, db) -> None:
    due.materialise()
    (order,) = due.begin(due.claim())
    due.answer(order, "failed", decline_class="soft")
    cancel(due)
    due.at("2027-06-20T09:00Z")

    assert due.run() == []
    assert due.states() == {"2027-06": "canceled"}
    assert broken_invariants(db) == {}


@pytest.mark.parametrize("outcome", ["failed", "paid"])
def test_a_month_whose_payment_is_canceled_on_its_way_is_over_whatever_comes(
    due: Autopay, db: Connection, outcome: str
) -> None:
    due.materialise()
    claims = due.claim()
    (order,) = due.begin(claims)
    cancel(due)
    assert due.begin(claims) == []  # what may not have been sent is sent no more
    due.answer(order, outcome)

    assert due.states() == {"2027-06": "canceled"}
    assert due.credits() == 0
    assert broken_invariants(db) == {}


def test_an_old_fence_begins_nothing(due: Autopay, db: Connection) -> None:
    due.materialise()
    zombie = due.claim(lease_seconds=60)
    assert due.claim() == []
    due.at("2027-06-15T09:02Z")
    (claim,) = successor = due.claim()

    assert claim["fence"] == zombie[0]["fence"] + 1
    assert due.begin(zombie) == []
    (order,) = due.begin(successor)
    assert due.begin(zombie) == []
    assert due.begin(successor) == [order]  # asked twice: the same attempt
    assert len(db.execute("select from payment_attempts").fetchall()) == 1


def test_what_is_given_back_is_claimed_at_once_but_not_by_an_old_fence(due: Autopay) -> None:
    due.materialise()
    (order,) = due.begin(due.claim())
    claim = {"id": str(order["id"]), "fence": order["fence"]}
    old = claim | {"fence": order["fence"] - 1}

    assert due.money.call("release_autopay_charges", claims=[old]) == []
    assert due.claim() == []
    assert len(due.money.call("release_autopay_charges", claims=[claim])) == 1
    (again,) = due.begin(due.claim())
    assert again["payment_attempt_id"] == order["payment_attempt_id"]
    assert due.money.call("release_autopay_charges", claims=[claim]) == []


def test_after_a_crash_another_worker_goes_on_with_the_same_attempt(due: Autopay, db) -> None:
    due.materialise()
    (order,) = due.begin(due.claim())
    assert due.claim() == []
    due.at("2027-06-15T09:02Z")
    (again,) = due.begin(due.claim())

    assert again["payment_attempt_id"] == order["payment_attempt_id"]
    assert again["fence"] == order["fence"] + 1
    due.answer(order)  # the first worker's answer comes late, and counts
    due.answer(again)
    assert due.credits() == 250
    assert broken_invariants(db) == {}


def test_silence_leaves_the_attempt_unknown_and_is_broken_later_with_the_same_key(
    due: Autopay, db: Connection
) -> None:
    due.materialise()
    (order,) = due.begin(due.claim())
    said = {"autopay_charge_id": order["id"], "failure_message": "no answer"}
    due.money.call("postpone_autopay_charge", fence=order["fence"] - 1, **said)
    assert only(due)["silences"] == 0
    due.money.call("postpone_autopay_charge", fence=order["fence"], **said)

    (attempt,) = db.execute("select status from payment_attempts").fetchall()
    assert (attempt["status"], only(due)["status"]) == ("unknown", "charging")
    assert due.claim() == []
    asked = set()
    for hour in range(1, 30):
        due.at(datetime(2027, 6, 15, 9, tzinfo=UTC) + timedelta(hours=hour))
        for again in due.begin(due.claim()):
            asked.add(again["payment_attempt_id"])
            due.money.call("postpone_autopay_charge", fence=again["fence"], **said)

    assert asked == {order["payment_attempt_id"]}
    assert len(db.execute("select from payment_attempts").fetchall()) == 1
    assert only(due)["lease_until"] is None  # too old to be sent again
    assert broken_invariants(db) == {}


@pytest.mark.parametrize("is_silent", [True, False])
def test_only_silence_of_its_gateway_is_counted(due: Autopay, db, is_silent: bool) -> None:
    due.materialise()
    (order,) = due.begin(due.claim())
    said = {"autopay_charge_id": order["id"], "fence": order["fence"], "failure_message": "429"}
    due.money.call("postpone_autopay_charge", **said, is_silent=is_silent)

    rows = db.execute("select gateway, operation, failures from gateway_circuits").fetchall()
    counted = [{"gateway": "stripe", "operation": "charge", "failures": 1}]
    assert rows == (counted if is_silent else [])


def test_charges_wait_for_a_gateway_that_is_left_alone_and_no_try_is_counted(
    due: Autopay, db: Connection
) -> None:
    due.materialise()
    db.execute(
        "insert into gateway_circuits (gateway, livemode, operation, failures, opened_at)"
        " values ('stripe', false, 'charge', 5, clock_now())"
    )
    due.at("2027-06-15T09:00:20Z")
    assert due.claim() == []
    assert (only(due)["status"], only(due)["fence"]) == ("due", 0)

    due.at("2027-06-15T09:00:31Z")
    (order,) = due.begin(due.claim())  # it finds out
    said = {"autopay_charge_id": order["id"], "failure_message": "no answer"}
    due.money.call("postpone_autopay_charge", fence=order["fence"], **said)
    due.at("2027-06-15T09:02Z")
    (again,) = due.begin(due.claim())  # its lease is over, and it finds out again
    assert again["payment_attempt_id"] == order["payment_attempt_id"]
    due.answer(again, type="answer")

    assert db.execute("select from gateway_circuits").fetchall() == []
    assert broken_invariants(db) == {}


def test_an_attempt_that_the_gateway_never_saw_is_followed_by_another(due: Autopay, db) -> None:
    due.materialise()
    (order,) = due.begin(due.claim())
    due.at("2027-06-16T09:30Z")
    assert due.begin(due.claim()) == []  # too old to be sent again
    due.answer(order, "not_found")
    assert only(due)["status"] == "charging"
    due.at("2027-06-16T10:01Z")
    due.answer(order, "not_found", asked_again=True)
    assert only(due)["status"] == "due"
    due.at("2027-06-17T09:00Z")
    due.run()

    assert due.credits() == 250
    assert broken_invariants(db) == {}


def test_a_slow_payment_is_waited_for(due: Autopay, db: Connection) -> None:
    (order,) = due.run("processing")
    for day in range(16, 22):
        due.at(f"2027-06-{day}T09:00Z")
        assert due.run() == []
    assert only(due)["status"] == "charging"
    due.answer(order)

    assert only(due)["status"] == "succeeded"
    assert broken_invariants(db) == {}


def test_money_of_a_try_that_had_failed_pays_the_month_and_a_second_goes_back(
    due: Autopay, db: Connection
) -> None:
    (first,) = due.run("soft")
    due.at("2027-06-16T09:00Z")
    (second,) = due.begin(due.claim())
    due.answer(first, gateway_payment_id="pi_first")
    assert only(due)["status"] == "succeeded"
    due.answer(second, gateway_payment_id="pi_second")

    assert due.credits() == 250
    surplus = db.execute("select is_surplus from payment_attempts order by is_surplus").fetchall()
    assert [row["is_surplus"] for row in surplus] == [False, True]
    assert broken_invariants(db) == {}


def test_a_month_that_is_written_down_late_has_no_more_time_for_it(due: Autopay, db) -> None:
    due.at("2027-06-17T21:00Z")
    assert due.materialise() == 1
    due.at("2027-06-18T09:01Z")  # three days after it was due

    assert due.begin(due.claim()) == []
    assert (only(due)["status"], only(due)["reason"]) == ("skipped", "missed")
    assert listed(db) == ["autopay-missed"]


@pytest.fixture
def replaced(due: Autopay) -> tuple[dict[str, object], dict[str, object]]:
    """A try of a replaced mandate that was declined, and its successor's for the same month."""
    (first,) = due.run("soft")
    due.set_up(day_of_month=20)
    due.at("2027-06-20T09:00Z")
    due.materialise()
    (second,) = due.begin(due.claim())
    return first, second


@pytest.mark.parametrize("together", [False, True], ids=["alone", "together"])
@pytest.mark.parametrize("late", [0, 1], ids=["the old try late", "the new one late"])
def test_a_month_is_paid_once_though_a_new_mandate_charged_it_too(
    due: Autopay, db: Connection, replaced, late: int, together: bool
) -> None:
    """A declined try may be paid after all: whichever is second goes back, as nothing is owed."""
    due.answer(replaced[1 - late])
    for _ in range(2):
        if together:
            due.answer_together([replaced[late]])
        due.answer(replaced[late])

    assert due.credits() == 250
    rows = db.execute(
        "select payment_attempts.id, is_surplus, payment_intents.status, refunds.amount"
        " from payment_attempts"
        " inner join payment_intents on payment_intents.id = payment_attempts.payment_intent_id"
        " left join refunds on refunds.payment_attempt_id = payment_attempts.id"
        " order by is_surplus"
    ).fetchall()
    assert [tuple(row.values()) for row in rows] == [
        (replaced[1 - late]["payment_attempt_id"], False, "paid", None),
        (replaced[late]["payment_attempt_id"], True, "canceled", 2500),
    ]
    told = db.execute("select type from events where type like 'payment.%' order by type")
    kinds = [row["type"] for row in told]
    assert kinds.count("payment.succeeded") == kinds.count("payment.canceled") == 1
    assert [charge["status"] for charge in due.charges()].count("succeeded") == 1
    assert broken_invariants(db) == {}


def test_of_two_charges_of_a_month_that_end_at_once_one_waits_and_goes_back(
    due: Autopay, db: Connection, replaced
) -> None:
    """Each looks before the other is done: the database lets one of them pass."""
    looks = "select pg_get_functiondef('is_autopay_month_paid'::regproc) as it"
    sees = db.execute(looks).fetchone()["it"]
    db.execute(
        "create or replace function is_autopay_month_paid(p_payment_intent_id uuid)"
        " returns boolean language sql stable begin atomic select false; end"
    )
    due.answer(replaced[1])
    assert due.answer(replaced[0])["status"] == "received"
    assert due.credits() == 250

    db.execute(sees)
    due.at(due.now() + timedelta(hours=1))
    (event,) = due.money.call("apply_due_gateway_event")
    assert event["status"] == "applied"
    rows = db.execute("select is_surplus from payment_attempts order by is_surplus").fetchall()
    assert [row["is_surplus"] for row in rows] == [False, True]
    assert due.credits() == 250
    assert broken_invariants(db) == {}


def test_a_month_that_was_passed_over_and_is_paid_late_is_taken_off_the_list(
    due: Autopay, db: Connection
) -> None:
    (first,) = due.run("soft")
    due.at("2027-06-16T09:00Z")
    db.execute("update customers set status = 'suspended'")
    due.begin(due.claim())
    assert listed(db) == ["autopay-skipped"]
    due.answer(first)

    assert only(due)["status"] == "succeeded"
    assert listed(db) == []
    assert broken_invariants(db) == {}


def test_a_failed_try_that_comes_back_to_life_stops_the_next_one(due: Autopay, db) -> None:
    (first,) = due.run("soft")
    due.answer(first, "processing")
    due.at("2027-06-16T09:00Z")

    assert due.run() == []
    assert only(due)["status"] == "charging"
    due.answer(first)
    assert only(due)["status"] == "succeeded"
    assert broken_invariants(db) == {}


STORY = ["processing", "soft", "paid", "not_found"]


@pytest.mark.parametrize("order", list(permutations(STORY)))
def test_messages_about_a_charge_may_come_in_any_order_and_twice(due: Autopay, db, order) -> None:
    (asked,) = due.begin(due.claim() if due.materialise() else [])
    for outcome in order * 2:
        due.answer(asked, outcome)

    assert (only(due)["status"], due.credits()) == ("succeeded", 250)
    assert due.told().count("autopay.succeeded") == 1
    assert broken_invariants(db) == {}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("update customers set status = 'suspended'", "customer-suspended"),
        ("update autopay_charges set amount = amount + 1", "amount-not-agreed-to"),
        ("update autopay_charges set tries = 4", "tries-used-up"),
        ("update autopay_settings set daily_tries_max = 1", "too-many-tries"),
    ],
)
def test_what_has_changed_since_the_claim_is_looked_at_again(
    due: Autopay, db: Connection, change: str, reason: str
) -> None:
    due.materialise()
    other = due.set_up(currency="JPY", amount=1000, day_of_month=15)
    db.execute(
        "update autopay_mandates set next_due_on = '2027-06-15', next_notice_at = clock_now()"
        " where id = %s",
        [other],
    )
    due.materialise()
    claims = due.claim()
    (yen,) = (c for c in claims if c["currency"] == "JPY")
    due.begin([yen])
    db.execute(change)

    orders = due.begin([c for c in claims if c is not yen])

    assert orders == []
    usd = next(c for c in due.charges() if c["currency"] == "USD")
    assert (usd["status"], usd["reason"]) == ("skipped", reason)
    assert "autopay-skipped" in listed(db)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ("update payment_settings set max_payment_amount = 2499", "amount-out-of-range"),
        ("delete from payment_settings", "currency-not-supported"),
        ("update system_settings set value = 'ten'", "setting-invalid"),
    ],
)
def test_a_setting_that_sells_nothing_is_listed_and_tried_again(
    due: Autopay, db: Connection, change: str, code: str
) -> None:
    db.execute(change)

    assert due.run() == []
    charge = only(due)
    assert (charge["status"], charge["reason"], charge["tries"]) == ("due", code, 1)
    assert listed(db) == ["autopay-refused"]
    assert broken_invariants(db) == {}


def test_one_charge_that_cannot_begin_stops_no_other(due: Autopay, db: Connection) -> None:
    due.set_up(currency="JPY", amount=1000, day_of_month=15)
    db.execute(
        "update autopay_mandates set next_due_on = '2027-06-15', next_notice_at = clock_now()"
    )
    db.execute("update system_settings set value = '0' where key = 'credit_rate_jpy'")

    assert [order["currency"] for order in due.run()] == ["USD"]


def test_rupees_are_announced_a_day_before_and_need_the_payer_above_fifteen_thousand(
    autopay: Autopay, db: Connection
) -> None:
    db.execute(
        "insert into payment_settings select organization_id, 'INR', 100, 100000000"
        " from payment_settings limit 1"
    )
    db.execute(
        "insert into system_settings select organization_id, 'credit_rate_inr', '1'"
        " from system_settings limit 1"
    )
    autopay.at("2027-06-14T20:00Z")
    mandate_id = autopay.set_up(currency="INR", amount=1_500_000, day_of_month=15)
    autopay.materialise()
    autopay.at("2027-06-15T19:59Z")
    assert autopay.run() == []
    autopay.at("2027-06-15T20:00:01Z")
    assert len(autopay.run()) == 1
    autopay.money.call("cancel_autopay", autopay_mandate_id=mandate_id)

    autopay.set_up(currency="INR", amount=1_500_001, day_of_month=15)
    autopay.at("2027-07-12T09:00Z")
    autopay.materialise()
    autopay.at("2027-07-15T09:00Z")
    assert autopay.run() == []
    charge = autopay.charges()[-1]
    assert (charge["status"], charge["reason"]) == ("action_required", "amount-needs-the-payer")
    (page,) = autopay.money.call(
        "open_autopay_checkout",
        autopay_charge_id=charge["id"],
        success_url="https://shop.example",
        cancel_url="https://shop.example",
    )
    autopay.money.receive(page["payment_attempt_id"], amount=1_500_001, currency="INR")
    assert autopay.charges()[-1]["status"] == "succeeded"
    assert broken_invariants(db) == {}


def test_the_other_mode_sees_no_charge(due: Autopay, db: Connection) -> None:
    due.materialise()
    live = Autopay(
        db, type(due.money)(db, due.money.session | {"x-hasura-livemode": "true"}), due.tenant
    )

    assert live.materialise() == 0
    assert live.claim() == []
    assert live.begin(due.claim()) == []


def test_a_decline_of_nobodys_payment_changes_no_charge(due: Autopay) -> None:
    due.materialise()
    row = due.money.open()
    due.money.receive(row["payment_attempt_id"], "failed")
    due.money.receive(uuid4(), "failed")

    assert due.states() == {"2027-06": "due"}
