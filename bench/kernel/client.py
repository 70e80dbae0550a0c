"""A Python program that posts, in as many processes as there are clients.

    python client.py (prepare | hordak | python) URL CLIENTS SECONDS

Prints postings a second. `hordak` is Django as a merchant would use it, run by an environment of
its own; `python` is our function called through psycopg, one call in its own transaction.
"""

import multiprocessing
import os
import random
import sys
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

ACCOUNTS = 10_000
START_S_MAX = 120.0  # eight Djangos on a busy machine
ORGANIZATION = "11111111-1111-4111-8111-111111111111"
OURS = (
    f"select post_ledger_transaction('{ORGANIZATION}', false, $1, 'bench', 'bench', $2,"
    " clock_now(), $3, $4, 100)"
)
CLONES = f"""
insert into hordak_account (
    uuid, name, parent_id, code, full_code, type, is_bank_account, currencies,
    lft, rght, tree_id, level
)
select
    gen_random_uuid(), 'bench ' || n, null, null, null, type, false, currencies, 1, 2, n + 1, 0
from hordak_account, generate_series(2, {ACCOUNTS}) as n
"""


def main() -> None:
    name, url, clients, seconds = sys.argv[1:]
    if name == "prepare":
        prepare(url)
        return
    context = multiprocessing.get_context("fork")
    ready, done = context.Barrier(int(clients)), context.Queue()
    processes = [
        context.Process(target=run, args=(name, url, float(seconds), ready, done))
        for _ in range(int(clients))
    ]
    for process in processes:
        process.start()
    rates = [done.get(timeout=START_S_MAX + float(seconds)) for _ in processes]
    for process in processes:
        process.join()
    print(sum(rates))


def run(name: str, url: str, seconds: float, ready: Any, done: Any) -> None:
    post = {"hordak": hordak, "python": python}[name](url)
    for _ in range(20):
        post()
    ready.wait(START_S_MAX)
    count, started = 0, time.perf_counter()
    while time.perf_counter() - started < seconds:
        post()
        count += 1
    done.put(count / (time.perf_counter() - started))


def python(url: str) -> Callable[[], None]:
    import psycopg  # noqa: PLC0415 -- hordak's environment has another

    # Postgres' own placeholders: there is nothing to rewrite in a statement that is prepared.
    cursor = psycopg.RawCursor(psycopg.connect(url, autocommit=True))
    chance = random.Random()
    cursor.execute("select id from ledger_accounts where code like 'bench:%'")
    ids = [row[0] for row in cursor.fetchall()]

    def post() -> None:
        key = UUID(int=chance.getrandbits(128))
        cursor.execute(OURS, [f"capture:{key}", key, *chance.sample(ids, 2)], prepare=True)

    return post


def hordak(url: str) -> Callable[[], None]:
    django(url)
    from django.db import transaction  # type: ignore[import-not-found] # noqa: PLC0415
    from hordak.models import Leg, Transaction  # type: ignore[import-not-found] # noqa: PLC0415
    from moneyed import Money  # type: ignore[import-not-found] # noqa: PLC0415

    amount, chance = Money("1.00", "USD"), random.Random()

    def post() -> None:
        one, other = chance.sample(range(1, ACCOUNTS + 1), 2)
        with transaction.atomic():
            booked = Transaction.objects.create(description="capture")
            Leg.objects.create(transaction=booked, account_id=one, credit=amount)
            Leg.objects.create(transaction=booked, account_id=other, debit=amount)

    return post


def prepare(url: str) -> None:
    django(url)
    from django.core.management import call_command  # type: ignore[import-not-found] # noqa: PLC0415
    from django.db import connection  # noqa: PLC0415
    from hordak.models import Account  # noqa: PLC0415

    call_command("migrate", verbosity=0)
    Account.objects.create(name="bench 1", type="AS", currencies=["USD"])
    with connection.cursor() as cursor:
        cursor.execute(CLONES)
    post = hordak(url)
    for _ in range(500):
        post()
    connection.cursor().execute("vacuum analyze")


def django(url: str) -> None:
    import django as framework  # type: ignore[import-not-found] # noqa: PLC0415
    from django.conf import settings  # type: ignore[import-not-found] # noqa: PLC0415

    if settings.configured:
        return
    place = urlsplit(url)
    settings.configure(
        INSTALLED_APPS=["django.contrib.contenttypes", "mptt", "djmoney", "hordak"],
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.postgresql",
                "NAME": place.path[1:],
                "USER": place.username,
                "PASSWORD": place.password,
                "HOST": place.hostname,
                "PORT": place.port,
                "CONN_MAX_AGE": None,
            }
        },
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        USE_TZ=True,
        SECRET_KEY="x" * 50,
        DEFAULT_CURRENCY="USD",
        CURRENCIES=["USD"],
    )
    os.environ.pop("DJANGO_SETTINGS_MODULE", None)
    framework.setup()


if __name__ == "__main__":
    main()
