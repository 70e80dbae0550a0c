drop function bank_return_postings;
drop function refund_returned_receipt;
drop function give_up_refunds;
drop function mend_short_list;
drop function take_receipt_back;
drop function pay_refund_by_hand;
