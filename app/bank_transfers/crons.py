"""What people left behind at the bank's counter: used, or listed."""

from app.context import Context
from app.endpoints import cron
from app.graphql import has_time


@cron
def settle_bank_transfers(ctx: Context) -> dict[str, int]:
    """Send back what was held for payments that ended otherwise, and list what waits too long."""
    settled = 0
    while has_time() and ctx.hasura.run("SettleDueBankTransfer"):
        settled += 1
    waiting = ctx.hasura.run("ListWaitingBankTransfers")
    return {"settled": settled, "listed": len(waiting)}
