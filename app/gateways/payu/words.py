"""PayU's words in ours."""

from enum import StrEnum

from app.gateways import Method, Outcome, Settled

# What became of a transaction, by `status` and then by `unmappedstatus`. A txnid is one try: what
# failed is not tried again under it, though PayU may hear later that it was paid after all.
# https://docs.payu.in/reference/payment-state-explanations
PAYMENTS = {
    ("success", "captured"): Outcome.PAID,
    ("success", "auth"): Outcome.AUTHORIZED,
    ("pending", "initiated"): Outcome.REQUIRES_ACTION,  # the payer is on PayU's page
    ("pending", "in progress"): Outcome.PROCESSING,  # the payer is at their bank's
    ("pending", "pending"): Outcome.PROCESSING,
    ("failure", "failed"): Outcome.FAILED,
    ("failure", "bounced"): Outcome.EXPIRED,  # the payer left PayU's page
    ("failure", "dropped"): Outcome.FAILED,  # PayU heard no more of the bank
    ("failure", "usercancelled"): Outcome.FAILED,
    ("failure", "autorefund"): Outcome.FAILED,  # paid late, and sent back by PayU itself
}
# Beside an unheard-of `unmappedstatus`: these are sure enough. A success is not, it may be a part.
BY_STATUS = {"pending": Outcome.PROCESSING, "failure": Outcome.FAILED}

NOT_FOUND = "not found"

# https://docs.payu.in/docs/payment-mode-codes
METHODS = {
    **dict.fromkeys(("CC", "DC"), Method.CARD),
    **dict.fromkeys(("UPI", "QR", "SBQR", "DBQR", "INTENT"), Method.UPI),
    "NB": Method.NETBANKING,
    "CASH": Method.WALLET,
    "EMI": Method.EMI,
    "BNPL": Method.PAY_LATER,
    "ENACH": Method.BANK_DEBIT,
    "NEFTRTGS": Method.BANK_TRANSFER,
}

# How a page is told to offer one method only; what is not here, the payer chooses on the page.
# https://docs.payu.in/docs/enforce-pay-method-or-remove-category
ENFORCED = {
    Method.CARD: "creditcard|debitcard",
    Method.UPI: "upi",
    Method.NETBANKING: "netbanking",
    Method.WALLET: "cashcard",
    Method.EMI: "emi",
}

# https://docs.payu.in/reference/check_action_status_api_with_payu_id
REFUNDS = {
    **dict.fromkeys(("success",), Outcome.SUCCEEDED),
    **dict.fromkeys(("failure", "failed"), Outcome.FAILED),
    **dict.fromkeys(
        ("queued", "requested", "pending", "in progress", "initiated", "od hit"), Outcome.PENDING
    ),
}


# https://docs.payu.in/docs/chargeback-status
DISPUTES = {
    "me comm sent": Outcome.OPENED,
    "doc rejected": Outcome.OPENED,  # what was sent does not suffice
    "me comm received": Outcome.UNDER_REVIEW,
    "bank comm sent": Outcome.UNDER_REVIEW,
    "closed merchant favour": Outcome.WON,
    "closed customer favour": Outcome.LOST,
}


class Answer(StrEnum):
    """What a code in the answer to a refund means; one that is not here means nothing."""

    DONE = "done"
    WAITS = "waits"  # accepted, and not decided
    REPEATED = "repeated"  # PayU has a refund under this token, and tells its state elsewhere
    NOT_NOW = "not now"  # the same words may be accepted later
    REFUSED = "refused"


# https://docs.payu.in/reference/error-codes-for-refund-initiation
REFUND_CODES: dict[str, tuple[Answer, str]] = {
    "100": (Answer.DONE, "refunded"),
    "101": (Answer.WAITS, "pending"),
    "102": (Answer.WAITS, "queued"),
    "103": (Answer.REFUSED, "the request was rejected when it was confirmed"),
    "104": (Answer.WAITS, "waits for confirmation"),
    "105": (Answer.REFUSED, "the amount is not valid"),
    "106": (Answer.REPEATED, "the token exists"),
    "109": (Answer.REPEATED, "the request is logged already"),
    "110": (Answer.REFUSED, "a Maestro card takes one partial refund"),
    "111": (Answer.REFUSED, "the payment is not in a state to be refunded"),
    "112": (Answer.WAITS, "queued for a check of the risk"),
    "113": (Answer.REFUSED, "the amount is charged back"),
    "115": (Answer.REFUSED, "the payment is not in a state to be refunded"),
    "116": (Answer.REFUSED, "there is no such payment"),
    "117": (Answer.REFUSED, "the amount does not match"),
    "120": (Answer.NOT_NOW, "the payment is locked"),
    "122": (Answer.WAITS, "waits for an approval"),
    "123": (Answer.WAITS, "waits for a person at PayU"),
    "124": (Answer.REFUSED, "something is missing in the request"),
    "125": (Answer.REFUSED, "the refund was given up in PayU's dashboard"),
    "126": (Answer.WAITS, "in progress"),
    "127": (Answer.WAITS, "requested of the bank"),
    "128": (Answer.REFUSED, "partial refunds are not allowed"),
    "130": (Answer.REFUSED, "the payment is too old to be refunded"),
    "214": (Answer.NOT_NOW, "two refunds of the same amount need five minutes between them"),
    "225": (Answer.NOT_NOW, "the balance at PayU is too low today"),
    "226": (Answer.NOT_NOW, "the payment was captured today"),
    "227": (Answer.REPEATED, "the token and the amount exist"),
    "230": (Answer.REFUSED, "the payment is archived, PayU's support can refund it"),
    "231": (Answer.NOT_NOW, "an internal error of PayU's"),
    "232": (Answer.REFUSED, "refunds of this kind are not supported"),
    "233": (Answer.REFUSED, "refunds are blocked, PayU's support knows why"),
    "234": (Answer.REFUSED, "refunds are blocked, PayU's support knows why"),
    "235": (Answer.REFUSED, "refunds are blocked, PayU's support knows why"),
    "236": (Answer.REFUSED, "this payment cannot be refunded"),
    "237": (Answer.REFUSED, "a sign in the request is not allowed"),
    "238": (Answer.REFUSED, "something is missing in the request"),
    "241": (Answer.REFUSED, "the bank refunds no payment as old as this one"),
    "242": (Answer.REFUSED, "the bank's code is not supported"),
    "248": (Answer.WAITS, "the balance is being checked"),
    "249": (Answer.NOT_NOW, "to be sent again"),
    "250": (Answer.REFUSED, "the payment is charged back"),
    "251": (Answer.REFUSED, "the bank blocks refunds"),
    "255": (Answer.REFUSED, "the token is too long"),
    "258": (Answer.WAITS, "initiated"),
    "259": (Answer.WAITS, "to be tried again by PayU"),
    **dict.fromkeys(
        ("261", "262", "264", "265", "500"), (Answer.NOT_NOW, "an internal error of PayU's")
    ),
    "263": (Answer.REFUSED, "the amount is not valid"),
    "266": (Answer.REFUSED, "a chargeback of the payment is open"),
    "267": (Answer.NOT_NOW, "the payment is locked"),
    "299": (Answer.REFUSED, "refunds are blocked for this merchant"),
    "302": (Answer.NOT_NOW, "to be sent again later"),
}

# What a line of the settlement report is about, and which of them take money away.
# https://docs.payu.in/reference/settlement-detail-range-api
LINES = {
    "capture": Settled.PAYMENT,
    "refund": Settled.REFUND,
    "cancel": Settled.REFUND,
    "chargeback": Settled.DISPUTE,
    "chargebackreversal": Settled.DISPUTE,
}
TAKEN = {"refund", "cancel", "chargeback"}


def dispute_state(word: object) -> str:
    """Write a chargeback's state as DISPUTES does: some documents have an `in` more."""
    return plain(word).replace(" in ", " ")


def plain(word: object) -> str:
    """Write a word as the maps here do: PayU varies its case, and `_` with a space."""
    return str(word or "").strip().lower().replace("_", " ")
