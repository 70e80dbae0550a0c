"""What each of PayU's reasons for a failed payment means for the next try.

https://docs.payu.in/reference/error-codes, https://docs.payu.in/reference/issuer-decline-error-codes
"""

from app.gateways import DeclineClass

REASONS = {
    DeclineClass.SOFT: (
        *("E307", "E308", "E337", "E348", "E706", "E715", "E909", "E1642", "E1903", "E2102"),
        *("E408", "E507", "E1611", "E1613", "E9205"),  # the payer left, or was too slow
        *("E504", "E4150", "E1661", "E1662", "E9230"),  # a duplicate; the limits of the day
        *("E4021", "E4022", "E4037", "E4146", "E4151", "E4152", "E4168", "E4369"),  # of UPI
    ),
    DeclineClass.HARD: (
        *("E305", "E310", "E311", "E313", "E707", "E717", "E1625", "E1626", "E1632", "E1664"),
        *("E325", "E705", "E908", "E4009", "E4010", "E4125", "E4147", "E4346", "E4348", "E4374"),
        *("E1655", "E9252", "E4001", "E4166", "E4316", "E4317", "E4318", "E4684"),
    ),
    DeclineClass.AUTHENTICATION: (
        *("E199", "E300", "E306", "E317", "E335", "E500", "E1000", "E1203", "E1204", "E1602"),
        *("E1633", "E708", "E710", "E1663", "E1911", "E4005", "E4167", "E9217"),
    ),
    DeclineClass.FRAUD: (*("E220", "E223", "E312", "E324", "E338", "E1670", "E4004", "E4378"),),
    DeclineClass.GATEWAY: (
        *("E202", "E207", "E214", "E215", "E217", "E224", "E225", "E231", "E341", "E345"),
        *("E700", "E1101", "E1201", "E1500", "E1608", "E1620", "E1629", "E1630", "E1631"),
        *("E1634", "E1654", "E1656", "E1658", "E4013", "E4027", "E4041", "E4044", "E4045"),
        *("E4101", "E4142", "E4157", "E4158", "E4177", "E4178", "E4180", "E4259", "E9208"),
        *("E9220", "E9254"),
    ),
}
CLASSES = {reason: kind for kind, reasons in REASONS.items() for reason in reasons}

# Where there is no code, the transaction's own word decides.
# https://docs.payu.in/reference/payment-state-explanations
BY_STATE = {
    "usercancelled": DeclineClass.SOFT,
    "dropped": DeclineClass.GATEWAY,
    "autorefund": DeclineClass.GATEWAY,
}

NO_ERROR = "E000"


def reason(code: str, state: str) -> str:
    """Name why a payment failed: by the code, or by the state where PayU has no code for it."""
    return state or "failure" if code in {"", NO_ERROR} else code


def decline_class(code: str, state: str) -> DeclineClass:
    """Classify a failure; a decline that nobody has heard of is soft."""
    return CLASSES.get(code) or BY_STATE.get(state, DeclineClass.SOFT)
