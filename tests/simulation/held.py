"""What the gateways hold for us by their own books: charges, refunds, and what disputes took."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from proof.ledgers import LEDGERS, SentBack
from simulation.houses import Houses

WON = {"won", "Closed in Merchant favour", "MERCHANT_WON"}


@dataclass(frozen=True, slots=True)
class Held:
    """What one gateway's books say."""

    charges: Mapping[str, int]  # payments that took money, by our name of them
    since: Mapping[str, int]  # when the payer began each, in Unix seconds
    refunds: Mapping[str, list[SentBack]]  # by our id of them
    disputed: int  # what the payers' banks have taken back, in minor units
    fees: int  # and what the gateway keeps for it


def read(houses: Houses, gateway: str) -> Held:
    """Read all that a gateway holds."""
    ledger = LEDGERS[gateway]
    charges: dict[str, int] = {}
    began: dict[str, int] = {}
    for paid in houses.objects(gateway, ledger.payments):
        if charge := ledger.charge(paid):
            name, amount = charge
            charges[name] = amount
            began[name] = int(paid["created"])
    refunds: dict[str, list[SentBack]] = defaultdict(list)
    found = (one for one in houses.objects(gateway, "refund") if not _is_void(one, houses))
    for one in map(ledger.sent_back, found):
        refunds[str(one.refund_id)].append(one)
    disputes = list(houses.objects(gateway, "dispute"))
    return Held(charges, began, refunds, *_taken_back(disputes))


def _is_void(refund: Mapping[str, Any], houses: Houses) -> bool:
    """Razorpay gives back what nobody captured, as a refund: no money was ever the merchant's."""
    if "payment_id" not in refund:
        return False
    payment = houses.find("razorpay", "payment", refund["payment_id"])
    return not (payment and payment["captured"])


def _taken_back(disputes: Iterable[Mapping[str, Any]]) -> tuple[int, int]:
    """Sum what disputes hold back now, and the fees; only Stripe's books have fees."""
    taken = fees = 0
    for one in disputes:
        taken += 0 if WON & {one.get("status"), one.get("state")} else one["amount"]
        fees += sum(entry["fee"] for entry in one.get("balance_transactions", ()))
    return taken, fees
