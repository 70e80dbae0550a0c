drop function claim_receipts;
drop function record_receipt;
drop function request_receipt;
drop table receipt_requests;
