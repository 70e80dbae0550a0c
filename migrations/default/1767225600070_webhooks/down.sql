drop function record_events;
drop function record_event;
drop table event_publications;
drop table event_destinations;
drop table event_profiles;
drop table events;
