"""Tables of the raw drivers on PostgreSQL."""

SCHEMA = """
create table author (
    id bigint primary key, name text not null, email text not null, age bigint not null,
    score double precision not null, joined timestamptz not null, active boolean not null
);
create table book (
    id bigint primary key, title text not null, pages bigint not null,
    author_id bigint not null references author (id)
);
create table log (
    id uuid primary key, method text not null, arguments text not null, state text not null
);
"""
