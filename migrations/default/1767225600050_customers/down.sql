drop function acting_customer;
drop table customers;
