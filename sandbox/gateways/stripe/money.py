"""What Stripe knows about currencies: which there are, their limits, and how they are shown."""

# Amounts of these are whole units; all others have two decimals.
ZERO_DECIMAL = frozenset(
    "bif clp djf gnf jpy kmf krw mga pyg rwf vnd vuv xaf xof xpf".split()  # noqa: SIM905  # reads as the list it is
)
# Amounts of these have three decimals, the last of which must be 0.
THREE_DECIMAL = frozenset({"bhd", "jod", "kwd", "omr", "tnd"})
# Stored with two decimals that must be 00.
WHOLE_UNITS = frozenset({"isk", "ugx"})

# The smallest charge, in minor units.
MINIMUM = {
    "usd": 50, "eur": 50, "gbp": 30, "inr": 50, "jpy": 50, "aud": 50, "cad": 50, "chf": 50,
    "brl": 50, "sgd": 50, "nzd": 50, "aed": 200, "dkk": 250, "nok": 300, "sek": 300, "hkd": 400,
    "mxn": 1000, "thb": 1000, "myr": 200, "pln": 200, "czk": 1500, "ron": 200, "huf": 17500,
}  # fmt: skip
LARGEST = 99_999_999

SYMBOLS = {
    "usd": "$", "eur": "€", "gbp": "£", "inr": "₹", "jpy": "¥", "aud": "A$", "cad": "CA$",
    "sgd": "S$", "nzd": "NZ$", "hkd": "HK$", "brl": "R$", "mxn": "MX$", "krw": "₩", "vnd": "₫",
}  # fmt: skip

SUPPORTED = (
    frozenset(MINIMUM) | ZERO_DECIMAL | THREE_DECIMAL | WHOLE_UNITS
    | frozenset("ars bdt cop egp idr ils kes lkr mad ngn npr pen php pkr qar sar try twd uah zar".split())  # noqa: SIM905, E501  # the same
)  # fmt: skip


def decimals(currency: str) -> int:
    if currency in ZERO_DECIMAL:
        return 0
    return 3 if currency in THREE_DECIMAL else 2


def fee(amount: int) -> int:
    """Give Stripe's usual price, 2.9 % rounded to the nearest unit, plus 30, in minor units."""
    return (amount * 29 + 500) // 1000 + 30


def display(amount: int, currency: str) -> str:
    """Write an amount for a person: `$1,234.50`, `₹12,34,567.00`, `¥500`, `CHF 12.00`."""
    places = decimals(currency)
    whole, part = divmod(abs(amount), 10**places)
    figure = _indian(whole) if currency == "inr" else f"{whole:,}"
    if places:
        figure += f".{part:0{places}d}"
    symbol = SYMBOLS.get(currency, f"{currency.upper()}\N{NO-BREAK SPACE}")
    return f"{'-' if amount < 0 else ''}{symbol}{figure}"


def _indian(whole: int) -> str:
    """Group as India does: the last three digits, then pairs."""
    digits = str(whole)
    head, tail = digits[:-3], digits[-3:]
    pairs: list[str] = []
    while head:
        head, pair = head[:-2], head[-2:]
        pairs.insert(0, pair)
    return ",".join([*pairs, tail])
