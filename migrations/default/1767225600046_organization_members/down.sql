drop function acting_member;
drop function is_member;
drop function set_organization_member;
drop table organization_members;
