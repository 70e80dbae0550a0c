-- The rows every case over the atlas starts from.

truncate gauge, country, city, mayor, "Odd Name", field_notes.sighting, found
restart identity cascade;

insert into gauge values
  (1, 7, 9007199254740993, 1.5, 2.25, 150.500, 12.34, true, 'first', 'ab', '2026-02-03', '04:05:06',
   '04:05:06+02', '2024-01-15 12:34:56.789', '2024-01-15 12:34:56.789+00', '1 day 02:03', '10.0.0.1',
   '\xdeadbeef', '[1,5)', '{a,b}', '{9007199254740993,2}', '{dry,wet}', '{"b": 1.50, "a": [1]}',
   '{"n": 9007199254740993, "a": {"b-c": [10, 20]}}', 'c0a80000-0000-4000-8000-000000000001', 42, 'dry'),
  (2, null, null, 'NaN', 'Infinity', -0.001, null, false, 'second', 'x', null, null, null, null, null,
   null, null, null, null, null, null, null, null, null, null, null, 'wet'),
  (3, -7, -1, null, 'NaN', null, null, null, null, null, null, null, null, null, null,
   null, null, null, null, '{}', '{}', null, null, '[]', null, 0, null);

insert into country (region, number, name, area, parts, landlocked) values
  ('eu', 1, 'France', 643801.5, '{1,2}', false),
  ('eu', 2, 'Austria', 83879, null, true),
  ('as', 1, 'India', 3287263, '{9007199254740993}', false);

insert into city (region, number, name, people, capital, founded, facts) values
  ('eu', 1, 'Paris', 2100000, true, '0250-01-01', '{"river": "Seine", "pins": [1, 2, {"x": null}]}'),
  ('eu', 1, 'Lyon', 520000, false, '0043-01-01', '{"river": "Rhône"}'),
  ('eu', 2, 'Vienna', 2000000, true, null, '{"river": "Danube", "rank": 1}'),
  ('as', 1, 'Delhi', 32000000, true, null, '{}'),
  ('as', 1, 'Agra', null, null, null, '{"sight": "Taj"}');

insert into mayor values (1, 'Anne', 's1'), (3, 'Michael', 's3');

insert into "Odd Name" values (1, 'chosen', 'hidden');

insert into field_notes.sighting values (1, 'eu', 1, 'fox'), (2, 'as', 1, 'tiger'), (3, null, null, 'ghost');
