from datetime import UTC, datetime, timedelta

import jwt
import psycopg
import pytest

from sandbox import seeds, tokens, world
from sandbox.seeds import SeedError

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def claims(token: str) -> dict[str, object]:
    decoded = jwt.decode(token, world.JWT_KEY, [world.JWT_ALGORITHM], options={"verify_exp": False})
    return {"exp": decoded["exp"], **decoded[tokens.CLAIMS]}


def test_a_customer_s_token_names_tenant_customer_and_mode() -> None:
    assert claims(tokens.token(tokens.ADA, now=NOW)) == {
        "exp": (NOW + timedelta(days=30)).timestamp(),
        "x-hasura-default-role": "customer",
        "x-hasura-allowed-roles": ["customer"],
        "x-hasura-user-id": tokens.ADA.id,
        "x-hasura-organization-id": tokens.TIGER_CAMPUS,
        "x-hasura-customer-id": tokens.ADA.customer_id,
        "x-hasura-livemode": "false",
    }


def test_an_operator_s_token_names_no_tenant() -> None:
    olga = tokens.find(role="operator")
    assert olga is not None

    named = claims(tokens.token(olga))
    assert "x-hasura-organization-id" not in named
    assert "x-hasura-customer-id" not in named


def test_a_token_acts_in_the_role_that_was_asked_for() -> None:
    fiona = tokens.find("fiona", "viewer")
    assert fiona is not None

    assert claims(tokens.token(fiona, "viewer"))["x-hasura-default-role"] == "viewer"
    assert tokens.find("ada", "operator") is None


def test_everybody_shown_exists() -> None:
    assert all(tokens.find(name) for name in tokens.SHOWN)


def test_the_seeds_make_the_customers_that_tokens_speak_for(database: str) -> None:
    seeds.apply(database, world.SEEDS)
    with psycopg.connect(database) as owner:
        rows = owner.execute(
            "select user_id, organization_id::text, id::text, email from customers"
            " where not livemode order by user_id"
        ).fetchall()
        limits = owner.execute(
            "select currency, min_payment_amount, max_payment_amount, value"
            " from payment_settings join system_settings using (organization_id)"
            " where organization_id = %s and key = 'credit_rate_usd'",
            [tokens.TIGER_CAMPUS],
        ).fetchall()

    customers = [user for user in tokens.USERS if user.customer_id]
    assert rows == [(u.id, u.organization_id, u.customer_id, u.email) for u in customers]
    assert limits == [("USD", 100, 100000, "10")]


def test_seeds_applied_again_change_nothing_that_was_changed_since(database: str) -> None:
    seeds.apply(database, world.SEEDS)
    with psycopg.connect(database) as owner:
        owner.execute("update system_settings set value = '12'")
    seeds.apply(database, world.SEEDS)
    with psycopg.connect(database) as owner:
        rates = owner.execute("select distinct value from system_settings").fetchall()
        count = owner.execute("select count(*) from customers").fetchone()

    assert rates == [("12",)]
    assert count == (4,)


def test_a_seed_that_fails_is_named_in_one_line(database: str, tmp_path) -> None:
    (tmp_path / "1_wrong.sql").write_text("insert into customers\n(nothing) values (1)")

    with pytest.raises(SeedError, match=r"^seed 1_wrong.sql: [^\n]+$"):
        seeds.apply(database, tmp_path)
