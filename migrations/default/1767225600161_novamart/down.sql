drop view novamart.refunds;
drop view novamart.payments;
drop schema novamart;
