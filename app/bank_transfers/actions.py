"""Four eyes on a bank's statement: one person enters, another one decides."""

from typing import Any

from app.bank_transfers.schemas import (
    AccountNamed,
    AccountSchema,
    BankAccount,
    BankAccountSchema,
    Decision,
    MatchTransferSchema,
    RecordTransferSchema,
    RejectTransferSchema,
    Transfer,
    TransferSchema,
)
from app.context import Context
from app.endpoints import action

OFFICE = frozenset({"finance", "owner"})


@action(BankAccountSchema, roles=OFFICE)
def add_bank_account(ctx: Context, account: BankAccount) -> dict[str, Any]:
    """Enter an account for payers to transfer to; another person opens it."""
    row: dict[str, Any] = ctx.hasura.one(
        "AddBankAccount",
        holderName=account.holder_name,
        bankName=account.bank_name,
        accountNumber=account.account_number,
        ifsc=account.ifsc,
    )
    return row


@action(AccountSchema, roles=OFFICE)
def approve_bank_account(ctx: Context, account: AccountNamed) -> dict[str, Any]:
    """Show payers an account that another person entered, instead of the one before."""
    row: dict[str, Any] = ctx.hasura.one(
        "ApproveBankAccount", bankAccountId=str(account.bank_account_id)
    )
    return row


@action(AccountSchema, roles=OFFICE)
def close_bank_account(ctx: Context, account: AccountNamed) -> dict[str, Any]:
    """Stop showing payers an account."""
    row: dict[str, Any] = ctx.hasura.one(
        "CloseBankAccount", bankAccountId=str(account.bank_account_id)
    )
    return row


@action(RecordTransferSchema, roles=OFFICE)
def record_bank_transfer(ctx: Context, transfer: Transfer) -> dict[str, Any]:
    """Enter a line of a bank's statement, once per key and reference. Books nothing."""
    row: dict[str, Any] = ctx.hasura.one(
        "RecordBankTransfer",
        bankAccountId=str(transfer.bank_account_id),
        kind=transfer.kind,
        rail=transfer.rail,
        reference=transfer.reference,
        amount=transfer.amount,
        valueDate=transfer.value_date.isoformat(),
        payerName=transfer.payer_name,
        note=transfer.note,
        orderDisplayId=transfer.order_display_id,
        refundId=transfer.refund_id and str(transfer.refund_id),
        returnedId=transfer.returned_id and str(transfer.returned_id),
        key=transfer.idempotency_key,
    )
    return row


@action(MatchTransferSchema, roles=OFFICE)
def match_bank_transfer(ctx: Context, match: Decision) -> dict[str, Any]:
    """Say which order a receipt pays; another person approves that too."""
    row: dict[str, Any] = ctx.hasura.one(
        "MatchBankTransfer",
        bankTransferId=str(match.bank_transfer_id),
        orderDisplayId=match.order_display_id,
    )
    return row


@action(TransferSchema, roles=OFFICE)
def approve_bank_transfer(ctx: Context, decision: Decision) -> dict[str, Any]:
    """Book what another person entered. Twice is once."""
    row: dict[str, Any] = ctx.hasura.one(
        "ApproveBankTransfer", bankTransferId=str(decision.bank_transfer_id)
    )
    return row


@action(RejectTransferSchema, roles=OFFICE)
def reject_bank_transfer(ctx: Context, decision: Decision) -> dict[str, Any]:
    """Refuse what another person entered, or the order that they named for it."""
    row: dict[str, Any] = ctx.hasura.one(
        "RejectBankTransfer",
        bankTransferId=str(decision.bank_transfer_id),
        reason=decision.reason,
    )
    return row
