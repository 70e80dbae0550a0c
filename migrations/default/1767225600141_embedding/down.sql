drop function set_embedding_origins;
drop table embedding_origins;
drop function may_embed;
