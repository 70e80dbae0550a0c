-- A small atlas: one column of every kind of type, keys of several columns, and odd functions.

create schema field_notes;

create type climate as enum ('dry', 'mild', 'wet');
create domain percent as integer check (value between 0 and 100);

create table gauge (
  id smallint primary key,
  whole integer,
  big bigint,
  real4 real,
  real8 double precision,
  exact numeric(12, 3),
  price money,
  flag boolean,
  label varchar(20),
  code char(3),
  day date,
  hour time,
  hour_tz timetz,
  at timestamp,
  at_tz timestamptz,
  span interval,
  address inet,
  raw bytea,
  range int4range,
  words text[],
  counts bigint[],
  moods climate[],
  document json,
  documentb jsonb,
  uid uuid,
  share percent,
  weather climate,
  doubled integer generated always as (whole * 2) stored
);

create table country (
  region text,
  number integer,
  name text not null,
  area numeric not null default 0,
  parts bigint[],
  landlocked boolean,
  primary key (region, number),
  constraint country_name_key unique (name)
);
comment on table country is 'A country of the atlas.';
comment on column country.area is 'In square kilometres.';

create table city (
  id integer generated always as identity primary key,
  region text not null,
  number integer not null,
  name text not null,
  people integer,
  capital boolean,
  founded date,
  facts jsonb not null default '{}',
  foreign key (region, number) references country (region, number)
);

-- A city has at most one mayor: the key of the mayor is the key of the city.
create table mayor (
  city_id integer primary key references city (id) on delete cascade,
  name text not null,
  secret text
);

create table "Odd Name" (id integer primary key, "Select" text, "two words" text);

create table field_notes.sighting (
  id integer primary key,
  country_region text,
  country_number integer,
  what text not null,
  foreign key (country_region, country_number) references country (region, number)
);

create table found (what text, amount integer);

create view big_city as select id, name, people from city where people > 1000000;

create function city_density(city_row city, per integer default 1) returns numeric
language sql stable as $$ select round(city_row.people::numeric / per, 2) $$;

create function city_rank(city_row city) returns integer
language sql stable as $$ select (city_row.people / 1000000)::integer $$;
comment on function city_rank is 'Millions of people.';

create function city_tags(city_row city) returns text[]
language sql immutable as $$ select array['city', lower(city_row.name)] $$;

create function city_neighbours(session json, city_row city, fewest integer default 0)
returns setof city language sql stable as $$
  select * from city
  where region = city_row.region and number = city_row.number and id <> city_row.id
    and people >= fewest and (session ->> 'x-hasura-role') is not null
$$;

create function city_doc(city_row city) returns jsonb
language sql stable as $$ select jsonb_build_object('n', 1.50, 'big', 9007199254740993) $$;

create function city_volatile(city_row city) returns integer
language sql volatile as $$ select 1 $$;

create function city_country(city_row city) returns country
language sql stable as $$
  select * from country where region = city_row.region and number = city_row.number
$$;

create function no_row() returns integer language sql stable as $$ select 1 $$;

create function scan_cities(fewest integer default 0, wanted integer[] default null)
returns setof city language sql volatile as $$
  select * from city where people >= fewest and (wanted is null or id = any (wanted))
$$;

create function found_words(prefix text) returns setof found language sql stable as $$
  select prefix || n, n from generate_series(1, 3) as n
$$;
comment on function found_words is 'Finds words.';

create function add_city(session jsonb, called text default 'New') returns city
language plpgsql volatile as $$
declare
  made city;
begin
  insert into city (region, number, name, facts)
  values ('eu', 1, called, jsonb_build_object('by', session ->> 'x-hasura-role'))
  returning * into made;
  return made;
end;
$$;

create function add_cities(names text[]) returns setof city language sql volatile as $$
  insert into city (region, number, name) select 'eu', 1, unnest(names) returning *
$$;

create function plain_number(n integer) returns integer language sql stable as $$ select n $$;
create function ad_hoc(n integer) returns table (a integer, b text) language sql stable as
$$ select n, 'x' $$;
create function many_of(variadic n integer[]) returns setof city language sql stable as
$$ select * from city $$;
