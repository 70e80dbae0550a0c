"""Makes dj-stripe's tables, and its rows of the account, its key and the endpoint."""

import os
import sys

import django
from django.core.management import call_command

ENDPOINT = "20000000-0000-4000-8000-000000000001"


def main() -> None:
    secret, account_id = sys.argv[1:3]
    os.environ["DJANGO_SETTINGS_MODULE"] = "merchant.settings"
    django.setup()
    call_command("migrate", run_syncdb=True, verbosity=0)

    from django.conf import settings  # noqa: PLC0415 -- only once Django is set up
    from djstripe.models import Account, APIKey, WebhookEndpoint  # noqa: PLC0415

    account = Account.objects.create(id=account_id, livemode=False, stripe_data={})
    APIKey.objects.create(
        id="key_bench",
        secret=settings.STRIPE_TEST_SECRET_KEY,
        type="secret",
        livemode=False,
        djstripe_owner_account=account,
    )
    WebhookEndpoint.objects.create(
        id="we_bench",
        djstripe_uuid=ENDPOINT,
        secret=secret,
        livemode=False,
        enabled_events=["*"],
        url="https://merchant.example/stripe/webhook/",
        status="enabled",
        djstripe_owner_account=account,
    )


if __name__ == "__main__":
    main()
