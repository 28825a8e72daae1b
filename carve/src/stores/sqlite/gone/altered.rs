//! The gone rows of all tables, those of several shapes among them.
//!
//! Altering a table gives its rows another shape. A row of an earlier one has a later version where the table has it, or
//! where one of the later shape is gone: so rows of the later shape are judged first, and index entries that none of them
//! holds are held against those of the earlier one. Where a log holds too many versions the shapes are searched in step, a
//! pass of the one with the same of the others.

use super::super::database::Database;
use super::hunt::Hunt;
use super::judge::{self, Identity, Judged};
use super::noted::Matched;
use super::put::{self, Target};
use super::{Kept, Search, Table, projected};
use crate::error::Error;
use crate::model::TableId;
use crate::stores::RowSink;
use mudlark_parsers::claim::Claims;
use std::collections::{HashMap, HashSet};

/// What is kept of tables that were altered, until their earlier shapes are searched.
#[derive(Default)]
pub(in super::super) struct Altered {
    /// The rows of which versions are gone, by the number of the table's definition.
    identities: HashMap<usize, HashSet<Identity>>,
    /// The live rows that were compared, by the same.
    kept: HashMap<usize, Kept>,
    /// The rows, which are put out behind those of the earlier shapes, with the number of their output.
    waiting: Vec<(usize, Claims, Vec<Judged>)>,
    /// Tables that are searched in step with their earlier shapes, and these behind them.
    in_step: Vec<Table>,
}

/// The gone rows of a table.
pub(in super::super) fn rows<'s, 'a: 's>(
    database: &Database<'a>,
    table: Table,
    altered: &mut Altered,
    sink: &mut RowSink<'_, 's>,
) -> Result<(), Error> {
    let (own, later) = (table.altered(database), table.successor(database));
    let Some(search) = Search::of(database, &table) else { return Ok(()) };
    let is_cut = search.history.as_ref().is_some_and(|history| !history.ranges().is_empty());
    if is_cut && (own.is_some() || later.is_some()) {
        drop(search);
        altered.in_step.push(table);
        return Ok(());
    }
    let Altered { identities, kept, waiting, .. } = altered;
    if let Some(own) = own {
        kept.insert(own, table.kept.clone());
    }
    let of_later = later.and_then(|later| kept.get(&later)).filter(|_| search.is_of_another());
    let went_on = later.and_then(|later| identities.get(&later)).cloned().unwrap_or_default();
    let Some(mut hunt) = Hunt::begin(&search, &table, of_later.unwrap_or(&table.kept)) else { return Ok(()) };
    let later_number = table.later(database).map(|(number, _)| number);
    for pass in 0..hunt.passes() {
        let Some((mut judged, matched)) = hunt.pass(pass, &went_on) else { continue };
        for (_, _, entries) in waiting.iter_mut().filter(|(waits, ..)| Some(*waits) == later_number) {
            projected::settle_entries(&search, &mut judged, entries);
        }
        if let Some(own) = own {
            identities.insert(own, judge::identities(&search, &judged));
            waiting.push((table.number, table.claims, judged));
            continue;
        }
        hunt.put(pass, (&judged, &matched), sink)?;
        if pass + 1 == hunt.passes() {
            // Giving back the memory of so many takes long, and nothing waits for it.
            rayon::spawn(move || drop(judged));
        }
    }
    Ok(())
}

impl Altered {
    /// Puts out those that wait, and what is searched in step.
    pub(in super::super) fn put<'s, 'a: 's>(
        self,
        database: &Database<'a>,
        sink: &mut RowSink<'_, 's>,
    ) -> Result<(), Error> {
        for (number, claims, judged) in self.waiting {
            let Some(output) = database.outputs.get(number) else { continue };
            let rowids = database.tree(output).is_some_and(|tree| tree.rowids);
            let (layout, table) = (&output.layout, TableId(number as u32));
            let lifetimes = database.lifetimes_of(output);
            let target = Target { database, layout, table, rowids, claims, lifetimes };
            put::all(&target, &judged, &Matched::default(), sink)?;
        }
        let is_first = |table: &&Table| first(database, &self.in_step, table).number == table.number;
        for own in self.in_step.iter().filter(is_first) {
            let shapes = self.in_step.iter();
            let shapes = shapes.filter(|table| first(database, &self.in_step, table).number == own.number);
            in_step(database, &shapes.collect::<Vec<&Table>>(), sink)?;
        }
        Ok(())
    }
}

/// The one of some tables that a table became in the end.
fn first<'t>(database: &Database<'_>, tables: &'t [Table], table: &'t Table) -> &'t Table {
    let later = |table: &&'t Table| {
        let (number, _) = table.later(database)?;
        tables.iter().find(|other| other.number == number)
    };
    // Definitions of a damaged file may name one another.
    std::iter::successors(Some(table), later).take(tables.len()).last().unwrap_or(table)
}

/// Searches the shapes of one table, a pass of each after the same of its later ones.
fn in_step<'s, 'a: 's>(
    database: &Database<'a>,
    shapes: &[&Table],
    sink: &mut RowSink<'_, 's>,
) -> Result<(), Error> {
    let searches = shapes.iter().filter_map(|table| Some((*table, Search::of(database, table)?)));
    let searches: Vec<(&Table, Search<'_, 'a>)> = searches.collect();
    let mut hunts: Vec<Hunt<'_, '_, 'a>> = Vec::new();
    for (table, search) in &searches {
        let later = table.later(database).filter(|_| search.is_of_another());
        let later = later.and_then(|(number, _)| shapes.iter().find(|table| table.number == number));
        hunts.extend(Hunt::begin(search, table, later.map_or(&table.kept, |later| &later.kept)));
    }
    let passes = hunts.iter().map(Hunt::passes).max().unwrap_or(0);
    let mut identities: HashMap<usize, HashSet<Identity>> = HashMap::new();
    let nothing = HashSet::new();
    for pass in 0..passes {
        let mut waiting: Vec<(usize, usize, Vec<Judged>)> = Vec::new();
        for (at, (hunt, (table, search))) in hunts.iter_mut().zip(&searches).enumerate() {
            // The last one of each is that of rows without a key.
            let own = if pass + 1 == passes { hunt.passes() - 1 } else { pass };
            if own + 1 == hunt.passes() && pass + 1 < passes {
                continue;
            }
            let later = table.later(database).map(|(number, _)| number);
            let went_on = later.and_then(|later| identities.get(&later)).unwrap_or(&nothing);
            let Some((mut judged, matched)) = hunt.pass(own, went_on) else { continue };
            for (_, number, entries) in &mut waiting {
                if Some(*number) == later {
                    projected::settle_entries(search, &mut judged, entries);
                }
            }
            if table.altered(database).is_some() {
                let found = judge::identities(search, &judged);
                identities.entry(table.number).or_default().extend(found);
                waiting.push((at, table.number, judged));
            } else {
                hunt.put(own, (&judged, &matched), sink)?;
            }
        }
        for (at, _, judged) in waiting {
            let hunt = hunts.get(at).map(|hunt| (hunt, pass.min(hunt.passes() - 1)));
            hunt.map_or(Ok(()), |(hunt, own)| hunt.put(own, (&judged, &Matched::default()), sink))?;
        }
    }
    Ok(())
}
