"""What breaks the invariants of bank transfers, as statements on a database of any tenant."""

A_RECEIPT = """
insert into bank_transfers (
    organization_id, livemode, bank_account_id, kind, rail, reference, amount, currency, value_date,
    idempotency_key, request, made_by, status, checked_by, checked_at
)
select
    id, false, gen_random_uuid(), 'receipt', 'neft', 'UTR1', 100, 'INR', date '2026-11-21', 'key',
    '{}', 'meera', 'entered', null, null
from organizations;
"""
AN_APPROVED_RECEIPT = A_RECEIPT.replace(
    "'entered', null, null", "'approved', 'chandan', created_at"
)

BREACHES = {
    "invariant_bank_transfers_are_booked_once": AN_APPROVED_RECEIPT,
    "invariant_bank_money_moves_by_two_people": (
        "update ledger_accounts set code = 'bank:1' where code = 'gateway:stripe'"
    ),
    "invariant_held_bank_transfers_are_owed": AN_APPROVED_RECEIPT,
    "invariant_bank_transfers_are_used_up_to_their_amount": (
        AN_APPROVED_RECEIPT + "insert into bank_transfer_uses select id, organization_id, livemode,"
        " gen_random_uuid(), 1, created_at from bank_transfers"
    ),
    "invariant_attempts_by_hand_are_made_of_receipts": (
        "update payment_attempts set gateway = 'bank_transfer'"
    ),
    "invariant_unmatched_bank_transfers_are_listed": A_RECEIPT,
}
