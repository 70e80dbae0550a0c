"""PayU's report of what it settled, in our words.

https://docs.payu.in/reference/settlement-detail-range-api
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import Any

from app.errors import GatewayUnavailableError
from app.gateways import Money, Settled, SettlementLine
from app.gateways.payu import references
from app.gateways.payu.findings import CURRENCY, INDIA, text
from app.gateways.payu.words import LINES, TAKEN

LINES_PER_PAGE, PAGES_MAX = 500, 20  # PayU itself offers no more than 10,000
NOTHING = Money(0, CURRENCY)

Object = Mapping[str, Any]
Ask = Callable[[dict[str, object]], Any]


def lines(ask: Ask, day: date) -> Iterator[SettlementLine]:
    """Read a day's report, settlement by settlement, whose lines sum to what the bank got.

    Raises GatewayUnavailableError where the answer is no report: then nothing is known.
    """
    try:
        for settlement, transactions in _settlements(ask, day):
            yield from _of_settlement(settlement, transactions)
    except (LookupError, TypeError, ValueError, InvalidOperation, AttributeError) as failure:
        message = "PayU's report is not as documented"
        raise GatewayUnavailableError(message) from failure


def _settlements(ask: Ask, day: date) -> list[tuple[Object, list[Object]]]:
    """Bring the pages together: a settlement may go on from one to the next."""
    heads: dict[str, Object] = {}
    bodies: defaultdict[str, list[Object]] = defaultdict(list)
    for number in range(1, PAGES_MAX + 1):
        page = _page(ask, day, number)
        for settlement in page:
            identifier = str(settlement["settlementId"])
            heads.setdefault(identifier, settlement)
            bodies[identifier] += settlement["transaction"]
        if sum(len(each["transaction"]) for each in page) < LINES_PER_PAGE:
            return sorted(
                ((heads[each], bodies[each]) for each in heads),
                key=lambda pair: str(pair[0]["settlementCompletedDate"]),
            )
    raise ValueError("the report does not end")


def _page(ask: Ask, day: date, number: int) -> list[Object]:
    answer = ask(
        {
            "dateFrom": day.isoformat(),
            "dateTo": day.isoformat(),
            "page": number,
            "pageSize": LINES_PER_PAGE,
        }
    )
    result = answer["result"] or []
    # Both shapes are documented: the settlements themselves, or a page of them.
    found: list[Object] = result["data"] if isinstance(result, dict) else result
    return found


def _of_settlement(settlement: Object, transactions: list[Object]) -> Iterator[SettlementLine]:
    identifier = str(settlement["settlementId"])
    moment = datetime.fromisoformat(settlement["settlementCompletedDate"])
    common: dict[str, Any] = {
        "settlement_id": identifier,
        "settled_at": moment.replace(tzinfo=INDIA),
        "utr": text(settlement.get("utrNumber")),
    }
    rest = _paise(settlement["settlementAmount"])
    for transaction in transactions:
        line = _line(transaction, common)
        rest -= line.net.amount
        yield line
    if rest:  # the settlement's own amount is what the bank got; what no line explains is one, too
        yield SettlementLine(
            **common,
            line_id=f"{identifier}:rest",
            kind=Settled.ADJUSTMENT,
            gross=Money(rest, CURRENCY),
            fee=NOTHING,
            tax=NOTHING,
            net=Money(rest, CURRENCY),
        )


def _line(transaction: Object, common: dict[str, Any]) -> SettlementLine:
    """Translate a line. All that is kept back and is no tax is a fee, whatever PayU calls it."""
    action = str(transaction["action"]).lower().replace("_", "").replace(" ", "")
    gross, net = (_paise(transaction[name]) for name in ("transactionAmount", "merchantNetAmount"))
    if action in TAKEN:
        gross, net = -abs(gross), -abs(net)
    tax = _paise(transaction.get("totalServiceTax") or transaction.get("merchantServiceTax") or 0)
    txnid = text(transaction.get("merchantTransactionId"))
    request = text(transaction.get("requestId"))
    kind = LINES.get(action, Settled.ADJUSTMENT)
    return SettlementLine(
        **common,
        line_id=f"{common['settlement_id']}:{action}:{request or transaction['payuId']}",
        kind=kind,
        gross=Money(gross, CURRENCY),
        fee=Money(gross - tax - net, CURRENCY),
        tax=Money(tax, CURRENCY),
        net=Money(net, CURRENCY),
        payment_attempt_id=references.payment_attempt_id(txnid),
        refund_id=references.refund_id(text(transaction.get("token"))),
        gateway_payment_id=txnid,
        gateway_refund_id=request if kind is Settled.REFUND else None,
    )


def _paise(value: object) -> int:
    """Round to whole paise: PayU writes taxes with five digits after the point."""
    amount = Decimal(str(value)).scaleb(2).quantize(Decimal(1), ROUND_HALF_UP)
    return int(amount)
