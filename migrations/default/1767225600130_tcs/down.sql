drop view tcs.transactions;
drop view tcs.clients;
drop schema tcs;
