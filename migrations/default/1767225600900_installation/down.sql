drop function list_installation_faults;
drop function installation_faults;
drop function installed_parts;
drop table installation_parts;
