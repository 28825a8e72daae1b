//! What index entries say of rows, and rows of which nothing else is left.

use super::super::entries::Entry;
use super::{Reader, Scratch, Witnesses};
use crate::model::{Batch, Cell as RowCell, Inferred, Lifetime, Point, Row, State, Transaction};
use mudlark_parsers::claim::{Claim, Claims};

impl<'a> Reader<'_, 'a> {
    /// What the indexes say of the row that is being added.
    pub(super) fn ask(
        &self,
        rowid: i64,
        first_cell: usize,
        claims: Claims,
        witnesses: &Witnesses,
        scratch: &mut Scratch,
        batch: &mut Batch<'a>,
    ) -> Claims {
        let row = batch.cells.get(first_cell..).unwrap_or_default();
        scratch.seen.clear();
        // No other row can have its id.
        let settled = claims.has(Claim::InTree) && claims.has(Claim::PageSound);
        let Scratch { near, seen, .. } = scratch;
        let testimony = witnesses.entries.ask(self.ground, (rowid, settled), row, near, seen);
        for entry in &scratch.seen {
            self.index_evidence(entry, batch);
        }
        claims
            .with_if(testimony.agrees, Claim::IndexAgrees)
            .with_if(testimony.disagrees, Claim::IndexDisagrees)
            .with_if(testimony.lacks, Claim::IndexLacks)
    }

    /// Cells that the row itself lost, from index entries.
    pub(super) fn fill(
        &self,
        rowid: i64,
        first_cell: usize,
        row_index: u32,
        witnesses: &Witnesses,
        batch: &mut Batch<'a>,
    ) {
        let row = batch.cells.get(first_cell..).unwrap_or_default();
        if row.iter().all(RowCell::is_whole) {
            return;
        }
        let known = witnesses.entries.cells(self.ground, &witnesses.entries.of_row(rowid));
        for (column, value) in known {
            if let Some(cell) = batch.cells.get_mut(first_cell + column)
                && !cell.is_whole()
            {
                *cell = value;
                batch.inferred.push((row_index, Inferred { column, from: "an index entry" }));
            }
        }
    }

    fn index_evidence(&self, entry: &Entry, batch: &mut Batch<'a>) {
        let Some(version) = self.ground.view.page(entry.page) else { return };
        let spans_from = batch.spans.len();
        batch.spans.push(version.span(entry.at.into(), entry.len.into()));
        self.add_evidence(&version, "index_entry", spans_from, batch);
    }

    /// A row of which only index entries are left.
    pub(in super::super) fn row_from_entries(
        &self,
        entries: &[Entry],
        witnesses: &Witnesses,
        batch: &mut Batch<'a>,
    ) {
        let Some(rowid) = entries.first().map(|entry| entry.rowid) else { return };
        let first_cell = batch.cells.len();
        let first_evidence = batch.evidence.len() as u32;
        batch.cells.resize(first_cell + self.layout.columns.len(), RowCell::Missing);
        if let Some(alias) = self.layout.alias()
            && let Some(cell) = batch.cells.get_mut(first_cell + alias)
        {
            *cell = RowCell::Int(rowid);
        }
        for (column, value) in witnesses.entries.cells(self.ground, entries) {
            if let Some(cell) = batch.cells.get_mut(first_cell + column) {
                *cell = value;
            }
        }
        for entry in entries {
            self.index_evidence(entry, batch);
        }
        let from = (!self.logged).then_some(Point::BeforeLog);
        let lifetimes = batch.add_lifetimes(&[Lifetime { from, to: None }]);
        batch.rows.push(Row {
            rowid: Some(rowid),
            state: State::Live,
            transaction: Transaction::Committed,
            claims: self.claims.with(Claim::FromIndex),
            cells: first_cell as u32..batch.cells.len() as u32,
            evidence: first_evidence..batch.evidence.len() as u32,
            lifetimes,
        });
    }
}
