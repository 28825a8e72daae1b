//! A plain CREATE INDEX written anew.

use super::super::index::IndexDdl;
use super::super::quote::quote_identifier;
use super::super::table::{Generated, TableDdl};
use super::column::{key_part, known_collation};
use super::output_names;

/// Writes a CREATE INDEX for a table made by [`super::create_table`].
///
/// # Errors
///
/// The reason why the index isn't a plain one.
pub fn create_index(
    index: &IndexDdl,
    table: &TableDdl,
    output_index_name: &str,
    output_table: &str,
) -> Result<String, String> {
    if !index.complete || index.parts.is_empty() {
        return Err("its key is cut off".to_owned());
    }
    if index.partial {
        return Err("it has a WHERE clause".to_owned());
    }
    let columns = output_names(table);
    let mut parts = Vec::new();
    for part in &index.parts {
        let Some(column) = part.column.and_then(|column| Some((column, table.columns.get(column)?))) else {
            return Err("its key has an expression or an unknown column".to_owned());
        };
        if column.1.generated == Some(Generated::Virtual) {
            return Err(format!("column {} is a virtual one", quote_identifier(&column.1.name)));
        }
        if let Some(collation) = part.collation.as_deref().filter(|name| known_collation(name).is_none()) {
            return Err(format!("unknown collation {}", quote_identifier(collation)));
        }
        let Some((_, name)) = columns.iter().find(|(original, _)| *original == column.0) else {
            return Err("its column is not in the output".to_owned());
        };
        parts.push(key_part(name, column.1, part));
    }
    let unique = if index.unique { "UNIQUE " } else { "" };
    let (index_name, table_name) = (quote_identifier(output_index_name), quote_identifier(output_table));
    Ok(format!("CREATE {unique}INDEX {index_name} ON {table_name} ({})", parts.join(", ")))
}
