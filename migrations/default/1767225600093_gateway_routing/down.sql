drop function choose_gateway;
drop function may_ask_gateway;
drop function close_gateway_circuit;
drop function break_gateway_circuit;
drop table gateway_circuits;
drop function expected_gateway_fee;
drop table gateway_fees;
drop table gateway_routes;
