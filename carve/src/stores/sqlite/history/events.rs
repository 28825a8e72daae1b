//! What happened to the row versions of an object, in the order of their keys.
//!
//! A log may write every row anew in each of its commits. Of an object to which more happened than is held at once, only
//! the places where it did are kept, and a range of keys is read anew when it is asked for.

use super::super::layout::Layout;
use super::super::rank::{Rank, Ranked};
use super::pages::Pages;
use super::ranges::firsts;
use super::renumbered::Renumbered;
use super::rows::Keys;
use super::walk::{Changed, Reread, RowChange, TableChange, read_again};
use std::collections::HashMap;
use std::ops::{Deref, Range, RangeInclusive};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// Events of one object that are held, each of 24 bytes. The versions that they are of take about ten times as much when
/// they are put out, and so does each row that was given another id, all of whose earlier copies are asked.
const MOST_HELD: usize = 1 << 19;

/// Events of a range of keys. A range holds several times as many versions where VACUUM gave ids anew, by which rows that were
/// gone before are asked for with those that have their ids since.
const OF_RANGE: usize = MOST_HELD / 2;

/// Ranges that are kept: neighbours are asked for by several threads at a time.
const KEPT: usize = 3;

/// What happened to a version at a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum What {
    /// It stood before, and not behind it.
    Ended,
    /// It stood before; whether it did behind it is not known.
    LostSight,
    /// It did not stand before, and does behind it.
    Came,
    /// It stands behind it; whether it did before is not known.
    Seen,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Event {
    pub key: i64,
    pub content: u64,
    pub state: u32,
    pub what: What,
}

/// By key and cells: the cells with the defaults of further columns, as which a row went on.
type Grown = HashMap<(i64, u64), u64>;

/// What happened to versions, known by the keys and the cells with which their rows went on.
#[derive(Debug, Default)]
struct Happened {
    events: Vec<Event>,
    grown: Grown,
}

/// Events in order.
#[derive(Debug, Default)]
pub(super) struct InOrder {
    events: Vec<Event>,
    grown: Grown,
    /// The only key under which something happened to these cells.
    by_content: OnceLock<HashMap<u64, Option<i64>>>,
}

/// The events of an object.
#[derive(Debug)]
pub(super) enum Events {
    Held(InOrder),
    Cut(Cut),
}

/// Events that are read anew, a range of keys at a time.
#[derive(Debug)]
pub(super) struct Cut {
    keys: Keys,
    /// The least rank of each range but the first.
    firsts: Vec<Rank>,
    /// What the commits did, in their order.
    steps: Vec<Step>,
    /// The ranges that were asked for last, the latest at the end.
    recent: Mutex<Vec<(usize, Arc<InOrder>)>>,
}

/// What a commit did to the rows of an object.
#[derive(Debug)]
enum Step {
    /// It gave them other ids.
    Renumbered(Arc<Renumbered>),
    /// It changed some.
    Changed {
        state: u32,
        /// Where these lie.
        read: Reread,
        /// How records become rows, where some were written anew with the defaults of columns that they lacked.
        grown: Option<Box<Layout>>,
    },
}

/// What happened under one key, in the order of the cells to which it did.
pub(super) enum OfKey<'e> {
    Held(&'e [Event]),
    Read(Arc<InOrder>, Range<usize>),
}

impl Deref for OfKey<'_> {
    type Target = [Event];

    fn deref(&self) -> &[Event] {
        match self {
            Self::Held(events) => events,
            Self::Read(all, range) => all.events.get(range.clone()).unwrap_or_default(),
        }
    }
}

impl OfKey<'_> {
    /// What happened to these cells.
    pub fn of(self, content: u64) -> Self {
        let from = self.partition_point(|event| event.content < content);
        let to = self.partition_point(|event| event.content <= content);
        match self {
            Self::Held(events) => Self::Held(events.get(from..to).unwrap_or_default()),
            Self::Read(all, range) => Self::Read(all, range.start + from..range.start + to),
        }
    }
}

impl InOrder {
    fn new(Happened { mut events, grown }: Happened) -> Self {
        events.sort_unstable();
        Self { events, grown, by_content: OnceLock::new() }
    }

    fn places(&self, key: i64) -> Range<usize> {
        let from = self.events.partition_point(|event| event.key < key);
        from..self.events.partition_point(|event| event.key <= key)
    }

    fn key_of(&self, content: u64) -> Option<Option<i64>> {
        let by_content = self.by_content.get_or_init(|| {
            let mut found: HashMap<u64, Option<i64>> = HashMap::new();
            for event in &self.events {
                let only = found.entry(event.content).or_insert(Some(event.key));
                *only = only.filter(|key| *key == event.key);
            }
            found
        });
        by_content.get(&content).copied()
    }
}

impl Events {
    /// What happened under a key; of cut ones `pages` are asked.
    pub fn of_key(&self, pages: Option<&Pages<'_>>, Ranked { key, rank }: Ranked) -> OfKey<'_> {
        match self {
            Self::Held(all) => OfKey::Held(all.events.get(all.places(key)).unwrap_or_default()),
            Self::Cut(cut) => {
                let all = cut.read(pages, cut.range_of(rank));
                let places = all.places(key);
                OfKey::Read(all, places)
            }
        }
    }

    /// The same of a key of one of the ranges.
    pub fn in_range(&self, pages: Option<&Pages<'_>>, range: Option<usize>, key: i64) -> OfKey<'_> {
        match self {
            Self::Cut(cut) => {
                let all = range.map(|range| cut.read(pages, range)).unwrap_or_default();
                let places = all.places(key);
                OfKey::Read(all, places)
            }
            Self::Held(_) => self.of_key(None, Ranked { key, rank: Rank::NONE }),
        }
    }

    /// The cells with which a row went on that had these under a key: the same, unless the defaults of further columns were
    /// written.
    pub fn grown(&self, pages: Option<&Pages<'_>>, Ranked { key, rank }: Ranked, content: u64) -> u64 {
        let grown = match self {
            Self::Held(all) => all.grown.get(&(key, content)).copied(),
            Self::Cut(cut) if cut.any_grown() => {
                cut.read(pages, cut.range_of(rank)).grown.get(&(key, content)).copied()
            }
            Self::Cut(_) => None,
        };
        grown.unwrap_or(content)
    }

    /// The key under which something happened to these cells: the inner `None` when there are several. Of cut ones only a
    /// range of keys is asked, and the outer `Err` says that it may be under another.
    pub fn key_of(
        &self,
        pages: Option<&Pages<'_>>,
        range: Option<usize>,
        content: u64,
    ) -> Result<Option<Option<i64>>, Elsewhere> {
        match (self, range) {
            (Self::Held(all), _) => Ok(all.key_of(content)),
            (Self::Cut(cut), Some(range)) => {
                cut.read(pages, range).key_of(content).map(Some).ok_or(Elsewhere)
            }
            (Self::Cut(_), None) => Err(Elsewhere),
        }
    }

    /// Whether all of them are, so that none is read anew.
    pub const fn is_held(&self) -> bool {
        matches!(self, Self::Held(_))
    }

    /// The least rank of each range but the first; none of those that are held.
    pub fn ranges(&self) -> &[Rank] {
        match self {
            Self::Held(_) => &[],
            Self::Cut(cut) => &cut.firsts,
        }
    }
}

/// The cells may stand under a key of another range.
#[derive(Clone, Copy, Debug)]
pub(super) struct Elsewhere;

impl Cut {
    /// The range in which a key lies.
    fn range_of(&self, rank: Rank) -> usize {
        self.firsts.partition_point(|first| *first <= rank)
    }

    fn any_grown(&self) -> bool {
        self.steps.iter().any(|step| matches!(step, Step::Changed { grown: Some(_), .. }))
    }

    /// The events of a range. One thread reads them while the others wait: it gives nothing to them that they could take up
    /// while they hold what it waits for.
    fn read(&self, pages: Option<&Pages<'_>>, range: usize) -> Arc<InOrder> {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = recent.iter().find(|(known, _)| *known == range) {
            return Arc::clone(&known.1);
        }
        let from =
            range.checked_sub(1).map_or(Rank::LEAST, |at| self.firsts.get(at).copied().unwrap_or(Rank::NONE));
        let to = self.firsts.get(range).map_or(Rank::NONE, |next| next.before());
        let read = pages.map(|pages| self.within(pages, &(from..=to))).unwrap_or_default();
        let read = Arc::new(InOrder::new(read));
        if recent.len() >= KEPT {
            recent.remove(0);
        }
        recent.push((range, Arc::clone(&read)));
        read
    }

    /// What happened to rows that have keys of these ranks in the end.
    fn within(&self, pages: &Pages<'_>, ranks: &RangeInclusive<Rank>) -> Happened {
        let given = self.steps.iter().filter_map(|step| match step {
            Step::Renumbered(ids) => Some(&**ids),
            Step::Changed { .. } => None,
        });
        // Before other ids are given those are asked for of which any become these.
        let mut asked = vec![vec![ranks.clone()]];
        for ids in given.rev() {
            asked.extend(asked.last().map(|ranks| with_sources(ranks, ids)));
        }
        let any_given = asked.len() > 1;
        let mut found = Happened { events: Vec::with_capacity(OF_RANGE), grown: Grown::new() };
        for step in &self.steps {
            match step {
                Step::Renumbered(ids) => {
                    asked.pop();
                    found.renumber(ids);
                }
                Step::Changed { state, read, grown } => {
                    let states = [state.saturating_sub(1), *state];
                    for ranks in asked.last().into_iter().flatten() {
                        let rows = read_again(pages, read, states, self.keys, ranks);
                        let changed = Changed::of(rows, pages, states, grown.as_deref());
                        found.grow(&changed.grown);
                        found.add(changed.rows.iter(), read.known, *state);
                    }
                }
            }
        }
        if any_given {
            let ids = Rank::rowids(ranks);
            found.events.retain(|event| ids.contains(&event.key));
            found.grown.retain(|(key, _), _| ids.contains(key));
        }
        found
    }
}

/// Ranges of ids that are asked for apart: of more those that lie next to one another are asked for as one.
const MOST_APART: usize = 8;

/// Ranges of ranks with those of the row ids in whose place their ids were given.
fn with_sources(ranks: &[RangeInclusive<Rank>], ids: &Renumbered) -> Vec<RangeInclusive<Rank>> {
    let sources = ranks.iter().filter_map(|ranks| ids.before(&Rank::rowids(ranks)));
    let sources = sources.map(|ids| Rank::of_rowid(*ids.start())..=Rank::of_rowid(*ids.end()));
    let mut all: Vec<RangeInclusive<Rank>> = ranks.iter().cloned().chain(sources).collect();
    all.sort_by_key(|ranks| *ranks.start());
    all.dedup_by(|next, ranks| join(ranks, next, |ranks, next| next.start() <= ranks.end()));
    while all.len() > MOST_APART {
        let gap = |ranks: &RangeInclusive<Rank>, next: &RangeInclusive<Rank>| {
            Rank::rowids(ranks).end().abs_diff(*Rank::rowids(next).start())
        };
        let least = all.iter().zip(all.iter().skip(1)).map(|(ranks, next)| gap(ranks, next)).min();
        all.dedup_by(|next, ranks| join(ranks, next, |ranks, next| Some(gap(ranks, next)) <= least));
    }
    all
}

/// Makes one of two ranges, where `are_one` says so.
fn join(
    ranks: &mut RangeInclusive<Rank>,
    next: &RangeInclusive<Rank>,
    are_one: impl Fn(&RangeInclusive<Rank>, &RangeInclusive<Rank>) -> bool,
) -> bool {
    let joined = are_one(ranks, next);
    if joined {
        *ranks = *ranks.start()..=*ranks.end().max(next.end());
    }
    joined
}

impl Happened {
    /// What happened to the versions that stand goes on under the ids that `ids` gave to their rows.
    fn renumber(&mut self, ids: &Renumbered) {
        self.go_on(|(key, content)| (ids.get(key).unwrap_or(key), content));
    }

    /// What happened to the versions that stand goes on under the cells with which `rows` were written anew.
    fn grow(&mut self, rows: &[RowChange]) {
        let grown = |row: &RowChange| Some(((row.key, row.before?.content?), row.after?.content?));
        let grown: Grown = rows.iter().filter_map(grown).collect();
        if !grown.is_empty() {
            self.go_on(|(key, content)| (key, grown.get(&(key, content)).copied().unwrap_or(content)));
            self.grown.extend(grown);
        }
    }

    fn go_on(&mut self, next: impl Fn((i64, u64)) -> (i64, u64)) {
        self.events.sort_unstable();
        for of_version in self.events.chunk_by_mut(|a, b| (a.key, a.content) == (b.key, b.content)) {
            let stands = of_version.last().is_some_and(|event| matches!(event.what, What::Came | What::Seen));
            for event in of_version.iter_mut().filter(|_| stands) {
                (event.key, event.content) = next((event.key, event.content));
            }
        }
    }

    /// Adds what the commit before a state did to rows; `known` as in [`of_row`].
    fn add<'r>(&mut self, rows: impl Iterator<Item = &'r RowChange>, known: [bool; 2], state: u32) {
        self.events.extend(rows.flat_map(|row| of_row(row, known, state)).flatten());
    }
}

/// The events of an object while the commits are followed.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    happened: Happened,
    steps: Vec<Step>,
    /// Rows that were given other ids, counted each time.
    renumbered: usize,
    is_cut: bool,
}

impl Gathered {
    /// Adds what a commit did to rows: the ids that it gave them, if it did, and changes. Those of the row that is asked for
    /// are kept, or all, unless there are more than are held. `layout` is how records become rows.
    pub fn add(
        &mut self,
        pages: &Pages<'_>,
        (change, state): (TableChange, u32),
        (given, layout): (Option<Arc<Renumbered>>, Option<&Layout>),
        only: Option<i64>,
    ) {
        self.renumbered += change.renumbered.rows();
        let changed = match only {
            Some(rowid) => Some(change.about(pages, rowid)),
            None => change.is_held().then(|| change.part(pages, 0)),
        };
        let any_grown = changed.as_ref().is_none_or(|changed| !changed.grown.is_empty());
        match changed.filter(|_| !self.is_cut) {
            Some(changed) => {
                if let Some(ids) = &given {
                    self.happened.renumber(ids);
                }
                self.happened.grow(&changed.grown);
                let is_wanted = |row: &&RowChange| only.is_none_or(|rowid| row.key == rowid);
                self.happened.add(changed.rows.iter().filter(is_wanted), change.read.known, state);
            }
            None => self.cut(),
        }
        if only.is_some() {
            return;
        }
        self.steps.push(match given {
            Some(ids) => Step::Renumbered(ids),
            None => {
                let grown = layout.filter(|_| any_grown).cloned().map(Box::new);
                Step::Changed { state, read: change.read, grown }
            }
        });
        if self.happened.events.len() + self.happened.grown.len() + self.renumbered > MOST_HELD {
            self.cut();
        }
    }

    /// Goes on without what happened: it is read anew.
    fn cut(&mut self) {
        self.is_cut = true;
        self.happened = Happened::default();
    }

    pub fn finish(self, keys: Keys) -> Events {
        if !self.is_cut {
            return Events::Held(InOrder::new(self.happened));
        }
        let mut ranks: Vec<(Rank, Rank, u32)> = Vec::new();
        let mut given: Vec<&Renumbered> = Vec::new();
        for step in self.steps.iter().rev() {
            match step {
                Step::Renumbered(ids) => {
                    // Each copy from before is asked by the id that its row has since.
                    ranks.extend(ids.given().filter_map(|(ids, rows)| {
                        let now = given.iter().rev().try_fold(ids, |ids, given| given.after(&ids))?;
                        Some((Rank::of_rowid(*now.start()), Rank::of_rowid(*now.end()), rows))
                    }));
                    given.push(ids);
                }
                Step::Changed { read, .. } if given.is_empty() => {
                    ranks.extend(read.ranks().map(|(ranks, rows)| (*ranks.start(), *ranks.end(), rows)));
                }
                // What ended before is known by the ids of that time, and versions that are put out by those that the rows
                // have in the end.
                Step::Changed { read, .. } => ranks.extend(read.ranks().flat_map(|(ranks, rows)| {
                    let ids = Rank::rowids(&ranks);
                    let now = given.iter().rev().try_fold(ids.clone(), |ids, given| given.after(&ids));
                    let half = |ids: RangeInclusive<i64>| {
                        (Rank::of_rowid(*ids.start()), Rank::of_rowid(*ids.end()), rows.div_ceil(2))
                    };
                    [half(now.unwrap_or_else(|| ids.clone())), half(ids)]
                })),
            }
        }
        let firsts = firsts(ranks, keys == Keys::Rowid, OF_RANGE);
        Events::Cut(Cut { keys, firsts, steps: self.steps, recent: Mutex::default() })
    }
}

/// What a commit did to the versions of a row; `known` tells whether all pages are known before it, and behind it.
fn of_row(row: &RowChange, [before_known, after_known]: [bool; 2], state: u32) -> [Option<Event>; 2] {
    let both = row.before.is_some() && row.after.is_some();
    let ended = if after_known || both { What::Ended } else { What::LostSight };
    let came = if before_known || both { What::Came } else { What::Seen };
    let event = |content: Option<u64>, what| Some(Event { key: row.key, content: content?, state, what });
    [
        row.before.and_then(|before| event(before.content, ended)),
        row.after.and_then(|after| event(after.content, came)),
    ]
}
