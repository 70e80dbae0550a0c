drop function major_units;
drop table currencies;
