"""Who races: a script for pgbench, or a Python client, and what one lap of it gives."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from race.servers import ROOT, RaceError

from kernel.worlds import ORGANIZATION
from sandbox.postgres_host import Account, find_binaries

HORDAK_PYTHON = ROOT / ".sandbox" / "bench" / "hordak" / "bin" / "python"
CLIENT = Path(__file__).with_name("client.py")
BATCH = 1000

SPREAD = "\\set a random(1, 10000)\n\\set b 1 + (:a + random(0, 9997)) % 10000\n"
HOT = "\\set a random(1, 10000)\n\\set r random(1, 1000000000)\n"
ONE, OTHER = "md5(:a::text)::uuid", "md5(:b::text)::uuid"
KEY = "'capture:' || gen_random_uuid()"


def _ours(other: str, reference: str) -> str:
    return (
        f"select post_ledger_transaction('{ORGANIZATION}', false, {KEY}, 'bench', 'bench',"
        f" {reference}, now(), {ONE}, {other}, 100);\n"
    )


SHARED = (
    f"ledger_account('{ORGANIZATION}', false, 'clearing', 'liability', 'USD', md5(:r::text)::uuid)"
)
SCRIPTS = {
    "bare": SPREAD + f"select post({KEY}, {ONE}, {OTHER}, 100);\n",
    "munim": SPREAD + _ours(OTHER, ONE),
    "hot": HOT + _ours(SHARED, "md5(:r::text)::uuid"),
    "pgledger": SPREAD
    + (
        f"select * from pgledger_create_transfer('pgla_' || uuid_to_ulid({ONE}),"
        f" 'pgla_' || uuid_to_ulid({OTHER}), 100);\n"
    ),
    "batch": (
        f"select count(*) from post_ledger_transactions('{ORGANIZATION}', false, array("
        f"select ({KEY}, 'bench', 'bench', gen_random_uuid(), now(), md5(a::text)::uuid,"
        f" md5((1 + (a + b) % 10000)::text)::uuid, 100)::ledger_posting"
        f" from generate_series(1, {BATCH}) as n,"
        f" lateral (select 1 + floor(random() * 10000 + n * 0)::int as a,"
        f" floor(random() * 9998 + n * 0)::int as b) as pair));\n"
    ),
}


@dataclass(frozen=True, slots=True)
class Racer:
    """Postings of one kind into one database."""

    name: str
    url: str

    def lap(self, clients: int, seconds: float) -> float:
        """Post for a while; returns postings a second."""
        if self.name in SCRIPTS:
            return self._pgbench(clients, seconds) * (BATCH if self.name == "batch" else 1)
        return self._python(clients, seconds)

    def _pgbench(self, clients: int, seconds: float) -> float:
        said = subprocess.run(
            [
                pgbench(), "--no-vacuum", "--protocol=prepared", "--file=-",
                f"--client={clients}", f"--jobs={min(2, clients)}",
                f"--time={max(1, round(seconds))}", "--max-tries=5", self.url,
            ],
            input=SCRIPTS[self.name], capture_output=True, text=True, check=False,
        )  # fmt: skip
        rate = re.search(r"tps = ([\d.]+)", said.stdout)
        if said.returncode or rate is None or "aborted" in said.stderr:
            reason = said.stderr.strip()[-500:] or f"nothing was posted in {seconds:.0f} s"
            raise RaceError(f"{self.name} failed in pgbench: {reason}")
        return float(rate[1])

    def _python(self, clients: int, seconds: float) -> float:
        python = str(HORDAK_PYTHON) if self.name == "hordak" else sys.executable
        said = subprocess.run(
            [python, str(CLIENT), self.name, self.url, str(clients), str(seconds)],
            capture_output=True, text=True, check=False, env=os.environ | {"PYTHONPATH": ""},
        )  # fmt: skip
        if said.returncode:
            raise RaceError(f"{self.name} failed: {said.stderr.strip()[-500:]}")
        return float(said.stdout)


def prepare_hordak(url: str) -> str | None:
    """Make hordak's tables and accounts; returns why that cannot be."""
    if not HORDAK_PYTHON.exists():
        return "django-hordak is not installed"
    said = subprocess.run(
        [str(HORDAK_PYTHON), str(CLIENT), "prepare", url, "0", "0"],
        capture_output=True, text=True, check=False, env=os.environ | {"PYTHONPATH": ""},
    )  # fmt: skip
    return said.stderr.strip()[-500:] if said.returncode else None


@cache
def pgbench() -> str:
    """Find the client that comes with the server."""
    with tempfile.TemporaryDirectory() as nowhere:
        found = find_binaries(Path(nowhere), Account(os.getuid(), os.getgid())) / "pgbench"
    if not found.exists():
        raise RaceError("pgbench is missing: it comes with Postgres")
    return str(found)
