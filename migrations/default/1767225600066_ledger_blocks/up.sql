-- The chain. Postings never wait for it: transactions are sealed in blocks after the fact, each block
-- over the one before it, so that a change of any sealed byte shows, and by which transaction.
create table ledger_blocks (
    number bigint primary key,
    transactions integer not null,
    previous_hash bytea not null,
    hash bytea not null,
    horizon bigint not null,
    sealed_in bigint not null default (pg_current_xact_id()::text)::bigint,
    sealed_at timestamptz not null default clock_now(),
    constraint ledger_block_follows_one_other unique (previous_hash),
    constraint ledger_block_number_counts check (number >= 1),
    constraint ledger_block_seals_something check (transactions > 0),
    constraint ledger_block_hashes_are_sha256 check (
        octet_length(hash) = 32 and octet_length(previous_hash) = 32
    )
);
comment on table ledger_blocks is
'Sealed transactions, block after block. hash = sha256(previous_hash, then the hash of each '
'transaction by position); the first previous_hash is 32 zero bytes. Append-only.';
comment on column ledger_blocks.horizon is
'Every database transaction below this number had ended when the block was sealed.';
comment on column ledger_blocks.sealed_in is
'Number of the database transaction that wrote the row. Where the row says otherwise (xmin), it came '
'from a dump, and the numbers of this database are others than the horizon''s.';

create table ledger_seals (
    -- Not a foreign key: it is for the verifier to say that a transaction is gone.
    ledger_transaction_id uuid primary key,
    ledger_block_number bigint not null references ledger_blocks (number),
    position integer not null,
    hash bytea not null,
    constraint ledger_seal_has_its_place unique (ledger_block_number, position),
    constraint ledger_seal_hash_is_sha256 check (octet_length(hash) = 32)
);
comment on table ledger_seals is
'Where a transaction is sealed, and the sha256 of its text (see ledger_transaction_text). Append-only.';

create trigger ledger_blocks_are_append_only
before update or delete or truncate on ledger_blocks
for each statement execute function refuse_to_rewrite_history();

create trigger ledger_seals_are_append_only
before update or delete or truncate on ledger_seals
for each statement execute function refuse_to_rewrite_history();

create function one_line(p_text text) returns text
language sql immutable
begin atomic
select replace(replace(p_text, E'\\', E'\\\\'), E'\n', E'\\n');
end;
comment on function one_line is
'A backslash is doubled and the end of a line written as \n, so that no two texts are one.';

create function ledger_account_text(
    p_account ledger_accounts, p_balance_after bigint, p_booked_at timestamptz
) returns text
language sql stable
begin atomic
select concat_ws(
    ' ', p_account.id, p_account.code, p_account.part, p_account.account_type,
    coalesce(p_account.customer_id::text, '-'), p_balance_after,
    trunc(extract(epoch from p_booked_at) * 1000000)
);
end;
comment on function ledger_account_text is
'One side of a transaction as it is sealed, which says what the account is as well.';

create function ledger_transaction_text(p_transaction ledger_transactions) returns text
language sql stable
begin atomic
select concat_ws(
    E'\n',
    p_transaction.id, p_transaction.organization_id, p_transaction.livemode::text,
    one_line(p_transaction.key), one_line(p_transaction.kind),
    one_line(p_transaction.reference_type), p_transaction.reference_id,
    coalesce(
        (
            select reversals.reverses_id::text
            from ledger_reversals as reversals
            where reversals.ledger_transaction_id = p_transaction.id
        ), '-'
    ),
    trunc(extract(epoch from p_transaction.occurred_at) * 1000000),
    concat_ws(' ', p_transaction.currency, p_transaction.amount),
    ledger_account_text(
        debited, p_transaction.debit_balance_after, p_transaction.debited_at
    ),
    ledger_account_text(
        credited, p_transaction.credit_balance_after, p_transaction.credited_at
    )
)
from ledger_accounts as debited, ledger_accounts as credited
where debited.id = p_transaction.debit_account_id
    and credited.id = p_transaction.credit_account_id;
end;
comment on function ledger_transaction_text is
'What a seal covers: twelve lines, times in microseconds since 1970, the last two for the account that is '
'debited and the one that is credited.';

create function ledger_transaction_hash(p_transaction ledger_transactions) returns bytea
language sql stable
begin atomic
select sha256(convert_to(ledger_transaction_text(p_transaction), 'UTF8'));
end;
comment on function ledger_transaction_hash is 'The sha256 of a transaction''s text.';

create function seal_ledger_block(hasura_session json, p_limit integer default 10000)
returns setof ledger_blocks
language plpgsql volatile security definer
set search_path = public, pg_temp
-- Each transaction's entries and accounts are found by key. A session keeps the plans that it made
-- while the ledger was small, and those would look through all accounts for each.
set enable_seqscan = off
set jit = off
as $$
declare
    v_last ledger_blocks;
    v_horizon bigint := (pg_snapshot_xmin(pg_current_snapshot())::text)::bigint;
    v_is_from_here boolean;
    v_from bigint;
    v_ids uuid[];
    v_hashes bytea[];
    v_previous bytea;
begin
    perform require_service(hasura_session);
    perform require_read_committed();
    perform pg_advisory_xact_lock(hashtextextended('ledger_blocks', 0));  -- one sealer at a time

    select * into v_last from ledger_blocks order by number desc limit 1;
    select ledger_blocks.xmin::text::bigint = v_last.sealed_in & 4294967295 into v_is_from_here
    from ledger_blocks
    where ledger_blocks.number = v_last.number;
    v_previous := coalesce(v_last.hash, decode(repeat('00', 32), 'hex'));
    -- All below the last block's horizon had ended then, so nothing unsealed is older. A database
    -- restored elsewhere counts from the beginning again: then the whole ledger is looked through.
    v_from := case
        when v_is_from_here and v_last.horizon <= v_horizon then v_last.horizon
        else 0
    end;

    select array_agg(to_seal.id), array_agg(to_seal.hash) into v_ids, v_hashes
    from (
        select
            ledger_transactions.id,
            ledger_transaction_hash(ledger_transactions) as hash
        from ledger_transactions
        where ledger_transactions.written_in >= coalesce(v_from, 0)
            and not exists (
                select from ledger_seals
                where ledger_seals.ledger_transaction_id = ledger_transactions.id
            )
        order by ledger_transactions.written_in, ledger_transactions.id
        limit p_limit
    ) as to_seal;

    if v_ids is null then
        return;
    end if;

    return query
    insert into ledger_blocks (number, transactions, previous_hash, hash, horizon)
    values (
        coalesce(v_last.number, 0) + 1, cardinality(v_ids), v_previous,
        sha256(v_previous || (select string_agg(hash, '' order by position)
            from unnest(v_hashes) with ordinality as sealed (hash, position))),
        -- A block that was cut short leaves the rest to the next one.
        case when cardinality(v_ids) < p_limit then v_horizon else coalesce(v_from, 0) end
    )
    returning *;

    insert into ledger_seals (ledger_transaction_id, ledger_block_number, position, hash)
    select sealed.id, coalesce(v_last.number, 0) + 1, sealed.position, sealed.hash
    from unnest(v_ids, v_hashes) with ordinality as sealed (id, hash, position);
end;
$$;
comment on function seal_ledger_block is
'Seals what has been posted since the last block; no row when there is nothing. Postings go on '
'meanwhile: what commits later is sealed by the next block.';
grant execute on function seal_ledger_block to munim_hasura;

revoke insert, update, delete, truncate on ledger_blocks, ledger_seals from public, munim_hasura;
