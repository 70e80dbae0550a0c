drop function find_orders;
drop function open_order_checkout;
drop function reusable_attempt;
drop function write_order;
drop function free_display_id;
drop function paying_customer;
drop view order_checkouts;
drop table orders;
