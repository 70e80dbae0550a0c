drop view tcs.payment_methods;
drop view tcs.transactions;
drop view tcs.clients;
drop schema tcs;
