"""What people left behind at the bank's counter: used, or listed."""

import time

from app.context import Context
from app.endpoints import cron

SETTLE_SECONDS_MAX = 40  # Hasura waits a minute for a cron


@cron
def settle_bank_transfers(ctx: Context) -> dict[str, int]:
    """Send back what was held for payments that ended otherwise, and list what waits too long."""
    settled = 0
    give_up = time.monotonic() + SETTLE_SECONDS_MAX
    while time.monotonic() < give_up and ctx.hasura.run("SettleDueBankTransfer"):
        settled += 1
    waiting = ctx.hasura.run("ListWaitingBankTransfers")
    return {"settled": settled, "listed": len(waiting)}
