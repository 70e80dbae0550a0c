drop view invariant_people_answer_for_what_they_resolved;
drop function reopen_exception;
drop function resolve_exception_by_hand;
drop function assign_exception;
drop function note_exception_decision;
drop function lock_exception;
drop function settles_itself;
drop table exception_decisions;
