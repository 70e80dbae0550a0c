"""What is printed once the sandbox is up: its addresses, its people, and one command to paste."""

from pathlib import Path

from sandbox import tokens, world
from sandbox.screen import BOLD, DIM, Screen
from sandbox.world import Ports

QUERY = '{"query": "{ customers { name } credit_wallets { balance } }"}'


def show(screen: Screen, ports: Ports, database: str, state: Path) -> None:
    screen.head("People")
    screen.say(screen.paint("  the token after each name is good for 30 days", DIM))
    for name in tokens.SHOWN:
        user = tokens.find(name)
        if user is not None:
            _person(screen, user)

    screen.head("Addresses")
    screen.pairs(
        [
            ("GraphQL", ports.graphql_url),
            ("console", ports.graphql_url.replace("/v1/graphql", "/console")),
            ("admin secret", world.HASURA_ADMIN_SECRET),
            ("App", f"{ports.app_url}/healthz"),
            ("Gateways", f"{ports.gateways_url}/"),
            ("Shop", f"{ports.gateways_url}/shop"),
            ("Events", f"{ports.gateways_url}/eventbridge/events"),
            ("Postgres", database),
            ("Logs", str(state / "logs")),
        ]
    )
    screen.head("Paste this to read Ada's balance")
    screen.say(curl(ports))
    screen.say(f"\n{screen.paint('Ctrl-C', BOLD)} stops it. `make help` lists what else there is.")


def curl(ports: Ports) -> str:
    """One line for a shell that asks GraphQL as the seeded customer."""
    headers = f"-H 'Authorization: Bearer {tokens.token(tokens.ADA)}'"
    return f"curl -s {ports.graphql_url} {headers} -d '{QUERY}'"


def _person(screen: Screen, user: tokens.User) -> None:
    screen.say(f"  {screen.paint(f'{user.name:<8}', BOLD)}{user.roles[0]:<10}{user.about}")
    screen.say(screen.paint(tokens.token(user), DIM))
