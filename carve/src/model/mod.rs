//! What all stores have in common: tables, row versions, evidence, findings, losses.

mod batch;
mod difference;
mod finding;
mod history;
mod part;
mod position;
mod table;
mod undo;

pub use batch::{Batch, Cell, Evidence, Inferred, Partial, Row, State, Transaction};
pub use difference::{Became, Between, ColumnDelta, RowDelta, RowThen, SchemaDelta, TableDelta, TableThen};
pub use finding::{Finding, Loss, LossKind};
pub use history::{
    Bound, Commit, CommitState, Goal, History, Replayed, RowCounts, SchemaEvent, Stand, interval,
};
pub use part::{Alternative, Extent, Interchangeable, Part, PartRole, Standing};
pub use position::{Lifetime, Point, Until};
pub use table::{Column, IndexText, SchemaOrigin, SchemaText, Table, TableDdl, TableId, are_full};
pub use undo::{Counters, LaterTable, UndoRow, UndoTable, Undoable, counters};
