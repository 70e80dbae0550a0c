"""What was said word for word is not kept for ever: people's names and addresses are in it."""

from app.context import Context
from app.endpoints import cron
from app.graphql import has_time

STEPS = ("ForgetGatewayMessages", "ForgetDeliveries")


@cron
def forget_messages(ctx: Context) -> dict[str, int]:
    """Forget what is older than MESSAGE_DAYS, step by step, for as long as there is time.

    Answers the steps that were made; the next tick goes on. 0 days: nothing is forgotten.
    """
    steps = 0
    if not ctx.settings.message_days:
        return {"steps": steps}
    for step in STEPS:
        while has_time() and ctx.hasura.run(step, days=ctx.settings.message_days):
            steps += 1
    return {"steps": steps}
