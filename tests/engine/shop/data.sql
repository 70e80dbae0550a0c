-- The rows every case starts from.

truncate owner, wallet, entry, entry_kind, note, audit.log restart identity cascade;

insert into entry_kind values ('credit', 'money in'), ('debit', 'money out');

insert into owner (id, name, email, age, boss_id, secret) values
  ('ann', 'Ann', 'ann@example.com', 41, null, 's1'),
  ('bob', 'Bob', null, 29, 'ann', 's2'),
  ('cid', 'Cid', 'cid@example.com', null, 'ann', 's3');

insert into wallet (id, owner_id, currency, balance_minor, active, created_at) values
  (1, 'ann', 'USD', 1000, true, '2026-01-01T00:00:00Z'),
  (2, 'ann', 'INR', 9007199254740993, true, '2026-01-02T12:34:56.789Z'),
  (3, 'bob', 'USD', 50, false, '2026-01-03T00:00:00Z');

insert into entry (wallet_id, kind, amount_minor, rate, weight, meta, tags, feeling, booked_on, code)
values
  (1, 'credit', 700, 1.50, 0.5, '{"a": [{"b": 7}], "key one": 1}', '{x,y}', 'happy',
   '2026-01-05', 'c0a80000-0000-4000-8000-000000000001'),
  (1, 'credit', 300, 2.00, 1.25, '{"b": 1}', '{}', 'ok', '2026-01-06', null),
  (1, 'debit', 100, null, null, '{}', null, null, null, null),
  (3, 'credit', 50, 0.25, 2, '{"a": 1}', '{y}', 'sad', '2026-01-07', null);

insert into note (author_id, body, pinned, stars, history) values
  ('ann', 'first', true, 1, '{"v": [1, 2]}'),
  ('ann', 'second', null, 2, null),
  ('bob', 'third', false, 3, '["a", "b"]');

truncate audit.log restart identity;
