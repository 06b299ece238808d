package sql

import (
	"encoding/json"

	"github.com/taskgrove/taskgrove/executors"
)

// WhereSchema are the properties of [Where] in a JSON Schema, with commas between them.
const WhereSchema = `    "driver": {"type": ["string", "null"], "enum": ["postgres", "postgresql", "mysql", "mariadb", "sqlite", "sqlite3", "sqlserver", "mssql", "oracle", "oracledb", "sqlalchemy", null], "description": "Kind of database; may be left out where url says it. sqlserver and oracle need a worker that was built with the tag etl. sqlalchemy: what url says"},
    "url": {"type": ["string", "null"], "description": "postgres://user:password@host:port/database, mysql://…, mariadb://…, sqlserver://…, oracle://…/service or sqlite:path; the other fields go before it. A library in it, as in mysql+pymysql://, is passed over"},
    "host": {"type": ["string", "null"], "description": "Server; or the directory (Postgres) or path (MySQL) of its unix socket"},
    "port": {"type": ["integer", "string", "null"], "minimum": 1, "maximum": 65535, "description": "5432 for Postgres, 3306 for MySQL and MariaDB, 1433 for SQL Server, 1521 for Oracle by default; a text holds a number"},
    "username": {"type": ["string", "null"], "description": "Account at the database"},
    "user": {"type": ["string", "null"], "description": "Another name of username"},
    "password": {"type": ["string", "null"], "description": "Its password"},
    "database": {"type": ["string", "null"], "description": "Name of the database; with oracle, of the service. With sqlite the file's path below the worker's TASKGROVE_FILE_ROOT, or :memory:"},
    "path": {"type": ["string", "null"], "description": "Another name of database, for sqlite"},
    "dsn": {"type": ["string", "null"], "description": "Oracle's host:port/service; or another name of url"},
    "tls": {"type": ["string", "null"], "enum": ["verify-full", "require", "disable", null], "default": "verify-full", "description": "verify-full checks the server's certificate and name; require encrypts without that; disable does not encrypt. Unix sockets and sqlite have none"},
    "sslmode": {"type": ["string", "null"], "enum": ["verify-full", "require", "disable", null], "description": "Another name of tls, as in URLs of Postgres"},
    "ca": {"type": ["string", "null"], "description": "Certificates (PEM) of further authorities that the server's may be signed by"},
    "client_cert": {"type": ["string", "null"], "description": "Certificate (PEM) to show to the server"},
    "client_key": {"type": ["string", "null"], "description": "Its key (PEM)"},
    "options": {"type": ["object", "null"], "description": "Options of a flow's resource, such as pool.size. They are taken and have no effect: the worker keeps the connections"}`

var inputSchema = json.RawMessage(`{
  "type": "object",
  "properties": {
    "query": {
      "type": ["string", "array"],
      "description": "One statement, or a list of statements that run in turn in one transaction: each a text, or an object with query and params",
      "items": {
        "type": ["string", "object"],
        "properties": {
          "query": {"type": "string", "description": "The statement"},
          "params": {"type": ["array", "object", "null"], "description": "Its values; by default the params beside query"}
        },
        "required": ["query"]
      }
    },
    "params": {"type": ["array", "object", "null"], "description": "Values for the statement: a list for the database's own placeholders ($1 in Postgres, ? elsewhere), or an object for :name. Lists and objects in it are sent as JSON, in Postgres lists for array types as arrays. :taskgrove_key, :taskgrove_attempt and :taskgrove_lock_token (null without a lock) are always there beside an object"},
` + WhereSchema + `,
    "read_only": {"type": ["boolean", "null"], "default": true, "description": "Only statements that read, in a transaction that the database keeps from writing"},
    "transaction": {"type": ["boolean", "null"], "default": true, "description": "false: each statement is committed by itself; for statements that no transaction may hold (VACUUM, CREATE INDEX CONCURRENTLY). Needs read_only false"},
    "isolation": {"type": ["string", "null"], "enum": ["read_uncommitted", "read_committed", "repeatable_read", "serializable", null], "description": "Isolation of the transaction; by default the database's. SQLite's is always serializable"},
    "fence": {
      "type": ["boolean", "object", "null"],
      "description": "Writes the attempt's number, or the token of the task's lock, into a table, within the transaction, and refuses to run after a newer one. true is the same as {}. Needs read_only false",
      "properties": {
        "table": {"type": ["string", "null"], "default": "taskgrove_fence", "description": "Name of the table"},
        "key": {"type": ["string", "null"], "maxLength": 255, "description": "What is fenced: attempts of one task, or holders of one lock; by default the key of the task's lock, else the run's idempotency key"}
      }
    },
    "once": {"type": ["boolean", "null"], "default": false, "description": "Keeps the outcome in the fence's table, within the transaction. An attempt that finds one returns it with repeated: true and runs nothing"},
    "rows": {"type": ["string", "null"], "enum": ["objects", "arrays", null], "default": "objects", "description": "Form of the rows. A second column of the same name is called name_2"},
    "max_rows": {"type": ["integer", "null"], "minimum": 0, "maximum": 1000000, "default": 1000, "description": "How many rows are kept of each statement; more set truncated"},
    "max_bytes": {"type": ["integer", "null"], "minimum": 0, "description": "How many bytes of rows are kept, as JSON; at most, and by default, what the worker's TASKGROVE_MAX_OUTPUT_BYTES says"},
    "timeout": {"type": ["number", "null"], "exclusiveMinimum": 0, "default": 30, "description": "Seconds, for everything from connecting to the commit, also kept by the server; by default the task's own timeout, and 30 if it has none"}
  },
  "required": ["query"]
}`)

var outputSchema = json.RawMessage(`{
  "type": "object",
  "properties": {
    "columns": {"type": "array", "description": "Name and the database's type of each column", "items": {
      "type": "object",
      "properties": {"name": {"type": "string", "description": "Key of the column in rows"}, "type": {"type": "string", "description": "As the database calls it, in lower case"}}
    }},
    "rows": {"type": "array", "description": "Objects by column, or arrays", "items": {"type": ["object", "array"]}},
    "row_count": {"type": "integer", "description": "How many rows are in rows"},
    "rows_affected": {"type": "integer", "description": "How many rows the database says it changed (Postgres also: returned); of a list, all together"},
    "last_insert_id": {"type": "integer", "description": "MySQL, MariaDB and SQLite: the id that an INSERT has made"},
    "truncated": {"type": "boolean", "description": "Present and true when there were more rows than are kept"},
    "truncated_fields": {"type": "array", "items": {"type": "string"}, "description": "Then rows, unless it is max_rows or max_bytes of the task that they were cut to. Templates of other tasks can't read them"},
    "results": {"type": "array", "description": "Instead of the others, for a list of statements: what each one gave", "items": {"type": "object"}},
    "repeated": {"type": "boolean", "description": "Present and true when once has found the outcome of an earlier attempt"}
  },
  "required": ["rows_affected"]
}`)

var examples = []executors.Example{
	{Title: "Read rows from Postgres", Inputs: json.RawMessage(`{
  "connection": "shop",
  "query": "SELECT id, total, placed_at FROM orders WHERE placed_at >= :since ORDER BY id",
  "params": {"since": "2026-01-01"}
}`)},
	{Title: "Write in one transaction, once whatever the number of attempts", Inputs: json.RawMessage(`{
  "connection": "warehouse",
  "read_only": false,
  "once": true,
  "query": [
    {"query": "INSERT INTO payments (order_id, amount) VALUES ($1, $2)", "params": [42, "19.90"]},
    {"query": "UPDATE orders SET paid = true WHERE id = $1", "params": [42]}
  ]
}`)},
	{Title: "Query a SQLite file", Inputs: json.RawMessage(`{
  "driver": "sqlite",
  "database": "reports/sales.db",
  "query": "SELECT region, sum(amount) AS amount FROM sales GROUP BY region ORDER BY region"
}`)},
}
