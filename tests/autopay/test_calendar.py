"""When charges fall due, against Python's own calendar and zones."""

import calendar
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from books import Connection
from mandates import Autopay

# On both sides of the date line, with and without summer time, with odd minutes.
ZONES = [
    "UTC",
    "America/New_York",
    "America/Los_Angeles",
    "America/St_Johns",
    "Europe/London",
    "Europe/Berlin",
    "Asia/Kolkata",
    "Asia/Kathmandu",
    "Asia/Tokyo",
    "Australia/Lord_Howe",
    "Pacific/Auckland",
    "Pacific/Honolulu",
]
MONTHS = [date(2026 + n // 12, n % 12 + 1, 1) for n in range(60)]


def oracle(day: int, month: date, at: time, zone: str) -> datetime:
    last = calendar.monthrange(month.year, month.month)[1]
    local = datetime.combine(month.replace(day=min(day, last)), at, ZoneInfo(zone))
    return moment(local)


def moment(local: datetime) -> datetime:
    """What never was is read by the old clock (fold 0), what was twice is the second (fold 1)."""
    early, late = (local.replace(fold=fold).astimezone(UTC) for fold in (0, 1))
    return max(late, early)


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("at", [time(9), time(2, 30)])
def test_31_days_of_60_months_fall_due_when_pythons_calendar_says(
    db: Connection, zone: str, at: time
) -> None:
    rows = db.execute(
        "select day, month, local_moment(due_date(day, month), %s, %s) as due_at"
        " from generate_series(1, 31) as day, unnest(%s::date[]) as month",
        [at, zone, MONTHS],
    ).fetchall()

    assert len(rows) == 31 * 60
    wrong = [row for row in rows if row["due_at"] != oracle(row["day"], row["month"], at, zone)]
    assert wrong == []


@pytest.mark.parametrize("year", [1900, 2000, 2024, 2026, 2028, 2096, 2100, 2400])
def test_leap_years_of_centuries_are_known(db: Connection, year: int) -> None:
    row = db.execute("select due_date(31, make_date(%s, 2, 10)) as due", [year]).fetchone()

    assert row["due"] == date(year, 2, 29 if calendar.isleap(year) else 28)


def test_a_31st_is_a_31st_again_after_february(autopay: Autopay, db: Connection) -> None:
    autopay.at("2027-12-31T12:00Z")
    autopay.set_up(day_of_month=31)
    for month in range(1, 9):
        autopay.at(f"2028-{month:02}-28T12:00Z")
        autopay.materialise()

    due = [charge["due_on"].isoformat()[5:] for charge in autopay.charges()]
    assert due == [
        "01-31",
        "02-29",
        "03-31",
        "04-30",
        "05-31",
        "06-30",
        "07-31",
        "08-31",
    ]


@pytest.mark.parametrize(
    ("zone", "local", "expected"),
    [
        # Clocks go from 2:00 to 3:00: half past two never is; an hour after half past one is meant.
        ("America/New_York", "2027-03-14 02:30", "2027-03-14T07:30Z"),
        ("Europe/Berlin", "2027-03-28 02:30", "2027-03-28T01:30Z"),
        ("Australia/Lord_Howe", "2027-10-03 02:15", "2027-10-02T15:45Z"),  # by half an hour
        # Clocks go from 2:00 back to 1:00: half past one is twice, and the second is meant.
        ("America/New_York", "2027-11-07 01:30", "2027-11-07T06:30Z"),
        ("Europe/Berlin", "2027-10-31 02:30", "2027-10-31T01:30Z"),
        # A whole day that never was: Samoa crossed the date line.
        ("Pacific/Apia", "2011-12-30 09:00", "2011-12-30T19:00Z"),
    ],
)
def test_hours_that_never_were_or_were_twice_have_one_moment(
    db: Connection, zone: str, local: str, expected: str
) -> None:
    day, at = local.split()
    row = db.execute(
        "select local_moment(%s::date, %s::time, %s) as it", [day, at, zone]
    ).fetchone()

    assert row["it"] == datetime.fromisoformat(expected)


@pytest.mark.parametrize("zone", ["America/New_York", "Asia/Kolkata", "Pacific/Auckland"])
def test_a_charge_is_due_at_nine_where_the_organisation_is(autopay: Autopay, zone: str) -> None:
    autopay.zone(zone)
    autopay.set_up(day_of_month=20)
    autopay.at("2027-06-18T12:00Z")
    autopay.materialise()

    (charge,) = autopay.charges()
    local = charge["due_at"].astimezone(ZoneInfo(zone))
    assert (local.date(), local.time()) == (date(2027, 6, 20), time(9))
    assert charge["period"] == "2027-06"


def test_a_mandate_keeps_its_zone_and_hour_when_the_organisation_moves(autopay: Autopay) -> None:
    mandate_id = autopay.set_up(day_of_month=20)
    autopay.zone("Asia/Tokyo")
    autopay.settings(local_time="17:00")
    autopay.at("2027-06-18T12:00Z")
    autopay.materialise()

    assert autopay.charges()[0]["due_at"] == datetime(2027, 6, 20, 9, tzinfo=UTC)
    assert autopay.mandate(mandate_id)["timezone"] == "UTC"


@pytest.mark.parametrize(
    ("now", "day", "first"),
    [
        ("2027-06-15T08:59Z", 15, "2027-06-15"),  # a minute before it is due
        ("2027-06-15T09:00Z", 15, "2027-07-15"),
        ("2027-06-30T08:00Z", 31, "2027-06-30"),
        ("2027-06-30T10:00Z", 31, "2027-07-31"),
        ("2027-12-31T10:00Z", 31, "2028-01-31"),
        ("2028-01-31T10:00Z", 30, "2028-02-29"),
    ],
)
def test_the_first_charge_is_the_next_due_date_to_come(
    autopay: Autopay, now: str, day: int, first: str
) -> None:
    autopay.at(now)
    mandate = autopay.mandate(autopay.set_up(day_of_month=day))

    assert mandate["anchor_on"] == mandate["next_due_on"] == date.fromisoformat(first)


def test_years_of_months_follow_the_anchor_without_drift(autopay: Autopay, db: Connection) -> None:
    autopay.zone("America/New_York")
    autopay.settings(catch_up_days=7)
    autopay.set_up(day_of_month=31)
    start = datetime(2027, 6, 30, 12, tzinfo=UTC)
    for week in range(60 * 5):
        autopay.at(start + timedelta(days=6 * week))
        autopay.materialise()

    charges = autopay.charges()
    assert len(charges) >= 58
    for charge in charges:
        month = charge["due_on"].replace(day=1)
        assert charge["due_at"] == oracle(31, month, time(9), "America/New_York")
    periods = [charge["period"] for charge in charges]
    assert periods == sorted(set(periods))
    assert db.execute("select from autopay_charges where status = 'skipped'").fetchall() == []
