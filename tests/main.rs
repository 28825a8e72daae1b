//! Tests of the whole product, a module for each question.

mod bad_input;
mod bad_points;
mod conformance;
mod damaged;
mod diff;
mod dump;
mod evidence_untouched;
mod findings;
mod foreign_log;
mod generations;
mod gone_rows;
mod history;
mod hostile;
mod image_carve;
mod image_scan;
mod index_entries;
mod interrupted;
mod json_lines;
mod lifetimes;
mod live_rows;
mod output_database;
mod output_folder;
mod output_refused;
mod points;
mod replay;
mod same_output;
mod schema_given;
mod summary;
mod support;
#[cfg(target_os = "linux")]
mod temp_files;
mod timeline;
mod told_apart;
mod undelete;
mod undo;
mod until;
