drop function require_access;
drop function acting_principal;
drop function acting_customer;
drop table payment_methods;
drop table customers;
