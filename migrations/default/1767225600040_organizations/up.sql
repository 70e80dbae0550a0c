create table organizations (
    id uuid primary key default gen_random_uuid(),
    name text not null,
    default_currency text not null references currencies (code),
    timezone text not null default 'UTC',
    created_at timestamptz not null default clock_now(),
    updated_at timestamptz not null default clock_now(),
    constraint organization_has_a_name check (length(name) between 1 and 200),
    constraint organization_timezone_exists check (
        timestamptz 'epoch' at time zone timezone is not null
    )
);
comment on table organizations is 'The tenant of every row. TCS and NovaMart are one organisation each.';
comment on column organizations.default_currency is 'Charged when a caller names no currency.';

create trigger organization_updated_at
before update on organizations
for each row execute function touch_updated_at();
