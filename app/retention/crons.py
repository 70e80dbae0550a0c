"""What was said word for word is not kept for ever: people's names and addresses are in it."""

from app.context import Context
from app.endpoints import cron
from app.graphql import has_time


@cron
def forget_messages(ctx: Context) -> dict[str, int]:
    """Forget what is older than MESSAGE_DAYS, step by step, for as long as there is time.

    Answers the steps that were made; the next tick goes on. 0 days: nothing is forgotten.
    """
    steps, days = 0, ctx.settings.message_days
    while days and has_time() and ctx.hasura.run("ForgetGatewayMessages", days=days):
        steps += 1
    while days and has_time() and ctx.hasura.run("ForgetDeliveries", days=days):
        steps += 1
    return {"steps": steps}
