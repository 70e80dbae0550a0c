drop function hear_hint;
drop function note_refused_messages;
drop table refused_messages;
