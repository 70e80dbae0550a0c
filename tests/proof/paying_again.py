"""A page that is paid more than once: the janitor finds it, untold, and sends the surplus back."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from gateways.world import DAY, Payer, Refunds
from proof.cases import Flow, Step
from proof.deeds import tick, wait
from proof.outcomes import second_goes_back
from proof.paying import REFUND_CRONS, to_the_page
from proof.shops import GATEWAYS, At
from proof.visits import come_back, is_there, pay


def paid_again(at: At) -> Flow:
    """No webhook tells of either payment."""
    return Flow(
        f"a page paid twice at {at.gateway}, and nobody told",
        (
            *to_the_page(at),
            Step("paying twice", partial(pay, Payer.PAYS_TWICE, Refunds.SUCCEED), by="payer"),
            Step("coming back", come_back, ready=is_there),
            Step("two days", partial(wait, 2 * DAY), by="payer"),
            Step("check_payments", partial(tick, "check_payments"), by="cron"),
        ),
        second_goes_back,
        crons=REFUND_CRONS,
        couriers=False,
        alone=True,
        gateways=(at.gateway,),
        until_closed=True,
    )


FLOWS = tuple(
    replace(paid_again(at), turn=turn) for turn, at in enumerate(GATEWAYS) if at.takes_several
)
