"""The data of the measured servers."""

import contextlib, datetime, hashlib, sqlite3

import servers
from servers import CHEAP, HASH, PASSWORD, basic, graphql

DAY = 24 * 60 * 60 * 1000
# All users are copies of the first user, except for these columns. `digest` is a function of the database.
COPIES = {
    "symbolon_user": {
        "id": "number",
        "username": "'user' || number",
        "username_canonical": "'user' || number",
        "email": "'user' || number || '@example.org'",
        "email_canonical": "'user' || number || '@example.org'",
        "password_hash": f"'{HASH}'",
        "last_sign_in_at": "CASE WHEN {has_token} THEN last_sign_in_at END",
        "token_nonce": "CASE WHEN {has_token} THEN token_nonce END",
        "token_digest": "CASE WHEN {has_token} THEN digest(number) END",
        # Some measurements take longer than the default lifetime of an hour.
        "token_expiration": f"CASE WHEN {{has_token}} THEN token_expiration + {DAY} END",
    },
    "symbolon_session": {"id": "number", "user_id": "number", "digest": "digest(number)"},
}


def token(number):
    return f"{number:032}"


class Sqlite:
    def __init__(self, path):
        self.path, self.url = path, f"sqlite://{path}"

    def rows(self, statement):
        """Executes an SQL statement. Returns a list of rows, the first of which contains the names of the columns."""
        with contextlib.closing(sqlite3.connect(self.path)) as connection, connection:
            connection.create_function("digest", 1, lambda number: hashlib.sha256(token(number).encode()).digest())
            result = connection.execute(statement)
            return [[column[0] for column in result.description or ()], *result]

    def advance(self, table):
        """SQLite itself continues after the largest id."""


def accounts(database, count, step=1, profile="dist"):
    """Creates the users 1 to `count` in a new database of Symbolon. Each user from 2 on whose number is a multiple of
    `step` has the token `token(number)`. User 1 cannot be used."""
    peer = servers.symbolon(database.url, {"probe": graphql("{ __typename }", [None])}, profile, **CHEAP)
    register = "mutation($input: CreateUserInput!) { createUser(input: $input) { user { id } } }"
    first = {"username": "user1", "email": "user1@example.org", "password": PASSWORD}
    with peer.on(None).started() as server:
        server.ask(*graphql(register, [None], input=first))
        server.ask(*graphql("mutation { createToken { token } }", basic([1])))
    for table, changed in COPIES.items():
        columns = database.rows(f"SELECT * FROM {table}")[0]
        has_token = f"number % {step} = 0"
        values = ", ".join(changed.get(column, column).format(has_token=has_token) for column in columns)
        only = "" if table == "symbolon_user" else f"AND {has_token}"
        database.rows(
            f"WITH RECURSIVE numbers(number) AS (SELECT 2 UNION ALL SELECT number + 1 FROM numbers WHERE number < {count}) "
            f"INSERT INTO {table} ({', '.join(columns)}) SELECT {values} FROM numbers, {table} WHERE id = 1 {only}"
        )
        database.advance(table)


def tutorial_table(database, count):
    """Creates the table of the tutorial server, the Flask original and graphql-yoga. Each user has a token that
    expires in a day."""
    tomorrow = datetime.datetime.now() + datetime.timedelta(days=1)
    with contextlib.closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(
            "CREATE TABLE user (id INTEGER PRIMARY KEY NOT NULL, username VARCHAR(64) NOT NULL, email VARCHAR(120) "
            "NOT NULL, password_hash VARCHAR(128) NOT NULL, token VARCHAR(32), token_expiration DATETIME)"
        )
        for column in ("username", "email", "token"):
            connection.execute(f"CREATE UNIQUE INDEX ix_user_{column} ON user ({column})")
        connection.executemany(
            "INSERT INTO user VALUES (?, ?, ?, ?, ?, ?)",
            (
                (number, f"user{number}", f"user{number}@example.org", HASH, token(number), f"{tomorrow:%Y-%m-%d %H:%M:%S.%f}")
                for number in range(1, count + 1)
            ),
        )
