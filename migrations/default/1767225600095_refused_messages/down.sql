drop function note_refused_messages;
drop table refused_messages;
