"""The sandbox's people, as the seeds know them, and the tokens that let one act as them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import jwt

from sandbox.world import JWT_ALGORITHM, JWT_KEY

CLAIMS = "https://hasura.io/jwt/claims"
LIFETIME = timedelta(days=30)

TIGER_CAMPUS = "00000000-0000-4000-8000-000000000001"
HARBOUR_CAMPUS = "00000000-0000-4000-8000-000000000002"
UBERTRUCK = "00000000-0000-4000-8000-000000000003"


@dataclass(frozen=True, slots=True)
class User:
    """Somebody who can log in. The first of the roles is the one they act in unless they ask."""

    name: str
    about: str
    roles: tuple[str, ...]
    id: str
    organization_id: str | None = None
    customer_id: str | None = None
    email: str | None = None

    @property
    def claims(self) -> Mapping[str, object]:
        claims = {
            "x-hasura-default-role": self.roles[0],
            "x-hasura-allowed-roles": list(self.roles),
            "x-hasura-user-id": self.id,
            "x-hasura-organization-id": self.organization_id,
            "x-hasura-customer-id": self.customer_id,
            "x-hasura-livemode": "false",
        }
        return {name: value for name, value in claims.items() if value is not None}


USERS = (
    User(
        name="ada",
        about="a customer of Tiger Campus Services",
        roles=("customer",),
        id="00000000-0000-4000-8000-000000000101",
        organization_id=TIGER_CAMPUS,
        customer_id="00000000-0000-4000-8000-000000000201",
        email="ada@tiger.example",
    ),
    User(
        name="grace",
        about="another customer of Tiger Campus Services",
        roles=("customer",),
        id="00000000-0000-4000-8000-000000000102",
        organization_id=TIGER_CAMPUS,
        customer_id="00000000-0000-4000-8000-000000000202",
        email="grace@tiger.example",
    ),
    User(
        name="hedy",
        about="a customer of Harbour Campus",
        roles=("customer",),
        id="00000000-0000-4000-8000-000000000103",
        organization_id=HARBOUR_CAMPUS,
        customer_id="00000000-0000-4000-8000-000000000203",
        email="hedy@harbour.example",
    ),
    User(
        name="fiona",
        about="keeps the books of Tiger Campus Services",
        roles=("finance", "viewer"),
        id="00000000-0000-4000-8000-000000000104",
        organization_id=TIGER_CAMPUS,
    ),
    User(
        name="victor",
        about="looks on at Tiger Campus Services",
        roles=("viewer",),
        id="00000000-0000-4000-8000-000000000105",
        organization_id=TIGER_CAMPUS,
    ),
    User(
        name="asha",
        about="a shipper of UberTruck",
        roles=("customer",),
        id="00000000-0000-4000-8000-000000000107",
        organization_id=UBERTRUCK,
        customer_id="00000000-0000-4000-8000-000000000204",
        email="asha@shipper.example",
    ),
    User(
        name="tarun",
        about="collects UberTruck's money",
        roles=("finance", "viewer"),
        id="00000000-0000-4000-8000-000000000108",
        organization_id=UBERTRUCK,
    ),
    User(
        name="umesh",
        about="owns UberTruck",
        roles=("owner", "finance"),
        id="00000000-0000-4000-8000-000000000109",
        organization_id=UBERTRUCK,
    ),
    User(
        name="olga",
        about="runs the platform",
        roles=("operator",),
        id="00000000-0000-4000-8000-000000000106",
    ),
)
ADA = USERS[0]
SHOWN = ("ada", "fiona", "victor", "olga")  # one a role; the table on screen stays short


def find(name: str | None = None, role: str | None = None) -> User | None:
    """Find the first user of that name who may act in that role."""
    for user in USERS:
        if name in {None, user.name} and (role is None or role in user.roles):
            return user
    return None


def token(user: User, role: str | None = None, now: datetime | None = None) -> str:
    """Make a JWT for a user, whose default role may be chosen among theirs. Good for 30 days."""
    issued = datetime.now(UTC) if now is None else now
    claims = {**user.claims, "x-hasura-default-role": role or user.roles[0]}
    return jwt.encode({"exp": issued + LIFETIME, CLAIMS: claims}, JWT_KEY, JWT_ALGORITHM)
