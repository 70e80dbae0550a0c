drop function forget_deliveries;
drop function forget_gateway_messages;
drop table retention_marks;
