//! The tables that every output has.

use rusqlite::Connection;

/// Makes them.
pub(super) fn create(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(
        "CREATE TABLE mudlark_source(
           source INTEGER PRIMARY KEY, name TEXT, path TEXT, size INTEGER, hash TEXT, taken_for TEXT);
         CREATE TABLE mudlark_table(
           table_id INTEGER PRIMARY KEY, output_name TEXT, versions_view TEXT, deleted_view TEXT,
           rest_table TEXT, instance TEXT, namespace TEXT, original_name TEXT, incarnation INTEGER,
           origin TEXT, columns TEXT);
         CREATE TABLE mudlark_schema(
           schema_id INTEGER PRIMARY KEY, table_id INTEGER, kind TEXT, name TEXT, origin TEXT,
           found TEXT, issued TEXT, changes TEXT, valid_from TEXT, valid_to TEXT);
         CREATE TABLE mudlark_version(
           version INTEGER PRIMARY KEY, table_id INTEGER, schema_id INTEGER, state TEXT,
           \"transaction\" TEXT, confidence REAL, content REAL, placement REAL, rowid_found INTEGER,
           stored_in TEXT, stored_at INTEGER, valid_from TEXT, valid_to TEXT, missing TEXT,
           claims INTEGER, more_claims INTEGER);
         CREATE TABLE mudlark_lifetime(
           version INTEGER, lifetime INTEGER, valid_from TEXT, valid_to TEXT,
           PRIMARY KEY(version, lifetime)) WITHOUT ROWID;
         CREATE TABLE mudlark_evidence(
           version INTEGER, evidence INTEGER, span INTEGER, method TEXT, page INTEGER,
           \"commit\" INTEGER, source INTEGER, \"offset\" INTEGER, length INTEGER, inferred TEXT,
           PRIMARY KEY(version, evidence, span)) WITHOUT ROWID;
         CREATE TABLE mudlark_fragment(
           fragment INTEGER PRIMARY KEY, version INTEGER, \"column\" TEXT, known TEXT);
         CREATE TABLE mudlark_finding(
           finding INTEGER PRIMARY KEY, source INTEGER, page INTEGER, \"offset\" INTEGER, field TEXT,
           rule TEXT, found TEXT, expected TEXT);
         CREATE TABLE mudlark_loss(
           table_id INTEGER, proved_missing INTEGER, possible_missing INTEGER, basis TEXT);
         CREATE TABLE mudlark_run(
           program_version TEXT, model_version TEXT, arguments TEXT, store TEXT, what TEXT,
           started TEXT, finished TEXT, totals TEXT);",
    )
}

/// Finds the deleted rows of a table without a look at the live ones. Made last: rows are inserted faster without.
pub(super) const INDEX_DELETED: &str = "CREATE INDEX mudlark_deleted ON mudlark_version(table_id) \
     WHERE state = 'deleted' AND \"transaction\" = 'committed'";
