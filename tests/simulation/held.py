"""What the gateways hold for us by their own books: charges, refunds, and what disputes took."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from proof.ledgers import LEDGERS, SentBack
from simulation.houses import Houses

# Each gateway's word for how a dispute was decided, in ours.
DECIDED = {
    "won": "won",
    "lost": "lost",
    "Closed in Merchant favour": "won",
    "Closed in Customer favour": "lost",
    "MERCHANT_WON": "won",
    "MERCHANT_LOST": "lost",
}


@dataclass(frozen=True, slots=True)
class Dispute:
    """A dispute in a gateway's books."""

    name: str
    amount: int
    fee: int  # that the gateway keeps for it; only Stripe's books have one
    status: str  # opened, won or lost
    moved_at: float  # when it came to that, in Unix seconds
    is_told: bool  # a webhook about it came through

    @property
    def taken(self) -> int:
        """What the payer's bank has taken back, in minor units."""
        return 0 if self.status == "won" else self.amount


@dataclass(frozen=True, slots=True)
class Held:
    """What one gateway's books say."""

    charges: Mapping[str, int]  # payments that took money, by our name of them
    since: Mapping[str, int]  # when the payer began each, in Unix seconds
    refunds: Mapping[str, list[SentBack]]  # by our id, or the gateway's where it was made there
    disputes: Sequence[Dispute]


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
        refunds[one.refund_id or one.name].append(one)
    disputes = [_dispute(houses, gateway, one) for one in houses.objects(gateway, "dispute")]
    return Held(charges, began, refunds, disputes)


def _is_void(refund: Mapping[str, Any], houses: Houses) -> bool:
    """Razorpay gives back what nobody captured, as a refund: no money was ever the merchant's."""
    if "payment_id" not in refund:
        return False
    payment = houses.find("razorpay", "payment", refund["payment_id"])
    return not (payment and payment["captured"])


def _dispute(houses: Houses, gateway: str, one: Mapping[str, Any]) -> Dispute:
    """Read a dispute; when it moved is when its last webhook was written, come what may of that."""
    webhooks = houses.webhooks(gateway, "%dispute%", one["id"])
    decided = {DECIDED.get(one.get(name, ""), "") for name in ("status", "state")} - {""}
    return Dispute(
        name=one["id"],
        amount=one["amount"],
        fee=sum(entry["fee"] for entry in one.get("balance_transactions", ())),
        status=min(decided, default="opened"),
        moved_at=max(webhook["created"] for webhook in webhooks),
        is_told=any(webhook["state"] != "dropped" for webhook in webhooks),
    )
