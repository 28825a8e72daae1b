//! What happened to the row versions of an object, in the order of their keys.
//!
//! A log may write every row anew in each of its commits. Of an object to which more happened than is held at once, only
//! the places where it did are kept, and a range of keys is read anew when it is asked for.

use super::super::rank::{Rank, Ranked};
use super::pages::Pages;
use super::rows::Keys;
use super::walk::{Reread, RowChange, TableChange, read_again};
use std::collections::HashMap;
use std::ops::{Deref, Range, RangeInclusive};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// Events of one object that are held, each of 24 bytes. The versions that they are of take about ten times as much when
/// they are put out.
const MOST_HELD: usize = 1 << 20;

/// Events of a range of keys.
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

/// Events in order.
#[derive(Debug, Default)]
pub(super) struct InOrder {
    events: Vec<Event>,
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
    /// Where the rows lie that the commits changed.
    steps: Vec<(u32, Reread)>,
    /// The ranges that were asked for last, the latest at the end.
    recent: Mutex<Vec<(usize, Arc<InOrder>)>>,
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
    fn new(mut events: Vec<Event>) -> Self {
        events.sort_unstable();
        Self { events, by_content: OnceLock::new() }
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
                let all = cut.read(pages, cut.firsts.partition_point(|first| *first <= rank));
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

    fn within(&self, pages: &Pages<'_>, ranks: &RangeInclusive<Rank>) -> Vec<Event> {
        let mut events = Vec::with_capacity(OF_RANGE);
        for (state, step) in &self.steps {
            let rows = read_again(pages, step, *state, self.keys, ranks);
            events.extend(rows.iter().flat_map(|row| of_row(row, step.known, *state)).flatten());
        }
        events
    }
}

/// The events of an object while the commits are followed.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    events: Vec<Event>,
    count: usize,
    steps: Vec<(u32, Reread)>,
    is_cut: bool,
}

impl Gathered {
    /// Adds what a commit did to rows. Those of which `is_wanted` says so are kept, unless there are more than are held, and
    /// they `may_be_cut`.
    pub fn add(
        &mut self,
        (change, state): (&mut TableChange, u32),
        is_wanted: impl Fn(&&RowChange) -> bool,
        may_be_cut: bool,
    ) {
        let known = change.read.known;
        let events = change.rows.iter().filter(is_wanted);
        for event in events.flat_map(|row| of_row(row, known, state)).flatten() {
            self.count += 1;
            if !self.is_cut {
                self.events.push(event);
            }
        }
        if may_be_cut {
            self.steps.push((state, std::mem::take(&mut change.read)));
            if self.count > MOST_HELD && !self.is_cut {
                self.is_cut = true;
                self.events = Vec::new();
            }
        }
    }

    /// Whether not all events are held.
    pub const fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// VACUUM gave rows other ids, or records the defaults of further columns: what happened to those that stand goes on
    /// under the new ones.
    pub fn go_on(&mut self, change: &TableChange) {
        if change.renumbered.is_empty() && change.grown.is_empty() || self.events.is_empty() {
            return;
        }
        let renumbered: HashMap<i64, i64> = change.renumbered.iter().copied().collect();
        let grown = change.grown.iter();
        let grown = grown.filter_map(|row| Some(((row.key, row.before?.content?), row.after?.content?)));
        let grown: HashMap<(i64, u64), u64> = grown.collect();
        self.events.sort_unstable();
        for of_version in self.events.chunk_by_mut(|a, b| (a.key, a.content) == (b.key, b.content)) {
            let stands = of_version.last().is_some_and(|event| matches!(event.what, What::Came | What::Seen));
            for event in of_version.iter_mut().filter(|_| stands) {
                event.content = grown.get(&(event.key, event.content)).copied().unwrap_or(event.content);
                event.key = renumbered.get(&event.key).copied().unwrap_or(event.key);
            }
        }
    }

    pub fn finish(self, keys: Keys) -> Events {
        if !self.is_cut {
            return Events::Held(InOrder::new(self.events));
        }
        let mut ranks: Vec<(Rank, u32)> = self.steps.iter().flat_map(|(_, step)| step.ranks()).collect();
        ranks.sort_unstable();
        let (mut firsts, mut events) = (Vec::new(), 0);
        for of_rank in ranks.chunk_by(|(a, _), (b, _)| a == b) {
            let further: usize = of_rank.iter().map(|(_, rows)| *rows as usize).sum();
            if events > 0 && events + further > OF_RANGE {
                firsts.extend(of_rank.first().map(|(rank, _)| *rank));
                events = 0;
            }
            events += further;
        }
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
