"""What users of other systems asked of refunds, each ask by its name."""

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Lock

from in_process import Shop

from app.errors import AmountOutOfRangeError
from app.gateways import Outcome

THREADS = 16


def at_once(times: int, call: Callable[[int], str]) -> Counter[str]:
    barrier = Barrier(times)

    def run(number: int) -> str:
        barrier.wait()
        try:
            return call(number)
        except AmountOutOfRangeError as refusal:
            return refusal.code

    with ThreadPoolExecutor(times) as pool:
        return Counter(pool.map(run, range(times)))


def test_a1_of_two_60_dollar_refunds_of_100_dollars_at_once_one_is_made(shop: Shop) -> None:
    counts = at_once(2, lambda n: shop.refund(amount=1500, idempotency_key=f"refund-{n}")["status"])

    assert counts == {"succeeded": 1, "amount-out-of-range": 1}
    assert [each.amount.amount for each in shop.house.gateway.refunds.values()] == [1500]


def test_a6_1_the_same_action_again_is_one_refund(shop: Shop) -> None:
    answers = [shop.refund() for _ in range(5)]

    assert all(answer == answers[0] for answer in answers)
    assert shop.house.gateway.asked == 1
    assert shop.is_settled()


def test_a6_2_the_same_action_many_times_at_once_is_one_refund(shop: Shop) -> None:
    ids = at_once(THREADS, lambda _: shop.refund()["refund_id"])

    assert list(ids.values()) == [THREADS]
    assert shop.is_settled()


def test_a6_3_the_same_action_after_a_lost_response_is_one_refund(shop: Shop) -> None:
    shop.house.gateway.silence = "after"
    lost = shop.refund()
    shop.house.gateway.silence = None
    again = shop.refund()

    assert (lost["status"], again["status"]) == ("unknown", "succeeded")
    assert lost["refund_id"] == again["refund_id"]
    assert shop.is_settled()


def test_a6_4_distinct_equal_partial_refunds_both_pass(shop: Shop) -> None:
    first = shop.refund(idempotency_key="refund-1")
    second = shop.refund(idempotency_key="refund-2")

    assert first["refund_id"] != second["refund_id"]
    assert (first["amount"], second["amount"]) == ("1000", "1000")
    assert shop.is_settled(2)


def test_a6_5_a_refund_keeps_its_key_at_the_gateway_whoever_sends_it_again(shop: Shop) -> None:
    keys, lock = set(), Lock()
    refund = shop.house.gateway.refund

    def note(order):
        with lock:
            keys.add(order.id)
        return refund(order)

    shop.house.gateway.refund = note
    shop.house.gateway.silence = "before"
    answer = shop.refund()
    for _ in range(3):
        shop.house.wait(121)
        shop.refund()
    shop.house.gateway.silence = None
    shop.refund()

    assert keys == {answer["refund_id"]}
    assert shop.is_settled()


def test_a6_what_failed_can_be_asked_for_anew_by_a_new_key_and_only_so(shop: Shop) -> None:
    shop.house.gateway.outcome = Outcome.FAILED
    failed = shop.refund()
    shop.house.gateway.outcome = Outcome.SUCCEEDED

    assert shop.refund() == failed
    assert shop.refund(idempotency_key="refund-2")["status"] == "succeeded"
