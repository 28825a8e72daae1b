//! The search for the gone rows of one table, a pass at a time.

use super::super::database::Database;
use super::super::history::OfTable;
use super::super::rank::Rank;
use super::collect::{self, Pages};
use super::entries::{self, Indexes};
use super::judge::{self, Identity, Judged, Known};
use super::kin::{self, Equals};
use super::live::{EndingsOfPages, Live};
use super::noted::Matched;
use super::passes::Passes;
use super::projected::{self, OfIndexes};
use super::put::{self, Target};
use super::shape::Kinds;
use super::{Candidate, Kept, Search, Table, parts, rowids, spoilt, streams};
use crate::error::Error;
use crate::model::TableId;
use crate::stores::RowSink;
use mudlark_parsers::claim::Claims;
use std::collections::HashSet;
use std::sync::OnceLock;

/// So many candidates are judged before the entries of indexes are read, and not while they are.
const MANY: usize = 1 << 18;

/// Sure rows from which a table's values are known.
const SURE: usize = 4;

pub(super) struct Hunt<'l, 's, 'a> {
    search: &'l Search<'s, 'a>,
    claims: Claims,
    live: Live<'l, 's, 'a>,
    kinds: Kinds,
    passes: Passes,
    /// What was found before the first pass, where there is only one.
    dead: Vec<Candidate>,
    /// What of the live rows was met.
    seen: Vec<EndingsOfPages>,
    /// Records of temp files that are no rows of the table, and those that are.
    projected: Vec<Candidate>,
    rows: Vec<Candidate>,
    indexes: Indexes<'s>,
    equals: OnceLock<Equals>,
    are_all_asked: bool,
}

impl<'l, 's, 'a: 's> Hunt<'l, 's, 'a> {
    /// Reads what does not wait for a pass. `kept` are the live rows that were compared.
    pub(super) fn begin(search: &'l Search<'s, 'a>, table: &Table, kept: &'l Kept) -> Option<Self> {
        let database = search.database;
        let output = table.output(database)?;
        let places = &database.places;
        let later = table.later(database).map(|(_, later)| places.of(later.tree));
        let mut kinds = Kinds::of(database, output);
        let mut live = Live::of(search, kept);
        let mut pages = Pages::of(search, places.of(output.tree), later);
        let mut passes = Passes::of(search, &mut pages);
        let several = passes.count() > 1;
        let (mut dead, mut seen) = collect::read(search, &kinds, &live, &pages, &passes.all());
        collect::hold_against(&mut live, &mut dead, &seen);
        if kinds.few_rows() {
            let own = dead.len();
            if several {
                dead.extend(collect::read(search, &kinds, &live, &passes.pages(0), &passes.ranks(0)).0);
            }
            let learned = learn(database, &mut kinds, &dead);
            dead.truncate(own);
            if learned {
                // What the sure ones look like tells how to read the others.
                (dead, seen) = collect::read(search, &kinds, &live, &pages, &passes.all());
                collect::hold_against(&mut live, &mut dead, &seen);
            }
        }
        let streamed = streams::dead(search, output.tree);
        let (projected, rows): (Vec<Candidate>, Vec<Candidate>) =
            streamed.into_iter().partition(|dead| dead.projection.is_some());
        if several {
            rowids::restore(search, &live, &mut dead);
            passes.wait(search, None, &mut dead);
        }
        // One without a name may have the definition of another, whose indexes are not its own.
        let indexed = output.def.filter(|_| !search.nameless && search.tree.rowids);
        let indexes = indexed.map(|def| Indexes::of(database, def)).unwrap_or_default();
        Some(Self {
            search,
            claims: table.claims,
            live,
            kinds,
            passes,
            dead,
            seen,
            projected,
            rows,
            indexes,
            equals: OnceLock::new(),
            are_all_asked: table.altered(database).is_some(),
        })
    }

    /// How many passes there are.
    pub(super) const fn passes(&self) -> usize {
        self.passes.count()
    }

    /// The rows of a pass, with the index entries that hold the same as they do; `None` where there is nothing. `went_on` are
    /// rows of which a version of a later shape is gone too.
    pub(super) fn pass(
        &mut self,
        pass: usize,
        went_on: &HashSet<Identity>,
    ) -> Option<(Vec<Judged>, Matched)> {
        let Self { search, live, kinds, passes, dead, seen, indexes, .. } = self;
        let (search, last) = (*search, passes.count() - 1);
        let ranks = passes.ranks(pass);
        let mut dead = std::mem::take(dead);
        if last == 0 {
            // Of so many live rows it takes much memory.
            *seen = Vec::new();
        } else {
            dead = passes.take(pass);
            dead.extend(collect::read(search, kinds, live, &passes.pages(pass), &ranks).0);
            collect::hold_against(live, &mut dead, seen);
        }
        let judging = &*live;
        let lifetimes = search.history.clone().map(|of_table| of_table.in_range(pass));
        let of_indexes = || entries::noted(search, kinds, indexes, &ranks);
        let rows = if pass == last { std::mem::take(&mut self.rows) } else { Vec::new() };
        let any_rows = !dead.is_empty() || !rows.is_empty();
        // Of so many it takes much memory.
        let are_many = dead.len() > MANY;
        let (equals, output) = (&self.equals, search.database.outputs.get(search.output));
        // A row that damage took from the main file seems deleted by the last transaction.
        let of_journal = || output.and_then(|output| search.database.last_changes_of(output));
        let of_rows = || {
            if !any_rows {
                return Vec::new();
            }
            kin::restore(search, judging, &mut dead, equals);
            rowids::restore(search, judging, &mut dead);
            passes.wait(search, Some(pass), &mut dead);
            dead.extend(rows);
            let is_told = lifetimes.is_some() || search.damaged;
            let of_journal = if is_told { None } else { of_journal() };
            let history = lifetimes.as_ref().or(of_journal.as_ref());
            let known = Known { history, contents: &passes.known(), went_on };
            let mut judged = judge::judge(search, judging, known, dead);
            spoilt::leave_out(search, judging, &mut judged);
            judged
        };
        // Neither asks the other, and where the one has nothing to share among the threads the other has.
        let (mut judged, noted) = match are_many {
            true => (of_rows(), of_indexes()),
            false => rayon::join(of_rows, of_indexes),
        };
        live.forget_counts();
        let is_of_pass = |dead: &mut Candidate| {
            pass == last || dead.rowid.is_some_and(|id| ranks.contains(&Rank::of_rowid(id)))
        };
        let projected: Vec<Candidate> = self.projected.extract_if(.., is_of_pass).collect();
        if !any_rows && projected.is_empty() && noted.is_empty() {
            return None;
        }
        parts::merge(search, &mut judged);
        let again = |noted| entries::again(search, kinds, indexes, &ranks, noted);
        let entries = OfIndexes { indexes, noted, again: &again, are_all_asked: self.are_all_asked };
        let matched = projected::judge(search, live, projected, entries, &mut judged);
        Some((judged, matched))
    }

    /// Hands the rows of a pass to `sink`.
    pub(super) fn put<'b>(
        &self,
        pass: usize,
        (judged, matched): (&[Judged], &Matched),
        sink: &mut RowSink<'_, 'b>,
    ) -> Result<(), Error>
    where
        'a: 'b,
    {
        let Search { database, layout, tree, output, .. } = self.search;
        let lifetimes = self.search.history.clone().map(|of_table: OfTable<'s>| of_table.in_range(pass));
        let table = TableId(*output as u32);
        let target = Target { database, layout, table, rowids: tree.rowids, claims: self.claims, lifetimes };
        put::all(&target, judged, matched, sink)
    }
}

/// Learns what rows look like from candidates all of whose serial types stand on their pages, or from all that fill their
/// places where there are hardly such; false without any.
fn learn(database: &Database<'_>, kinds: &mut Kinds, dead: &[Candidate]) -> bool {
    let fitted = || dead.iter().filter(|dead| !dead.freed.cut && dead.freed.fitted && dead.content.is_some());
    let is_sure = |dead: &Candidate| !dead.freed.first_solved;
    let any = fitted().filter(|dead| is_sure(dead)).take(SURE).count() < SURE;
    let rows = fitted().filter(|dead| any || is_sure(dead));
    kinds.learn(rows.filter_map(|dead| Some((database.view.page(dead.page)?.bytes, &dead.freed))))
}
