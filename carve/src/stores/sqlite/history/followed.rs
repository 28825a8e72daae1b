//! All commits followed, one after the other: what they did to the rows of each table.

use super::events::Gathered;
use super::objects::Object;
use super::pages::Pages;
use super::rows::Keys;
use super::walk::{RowChange, Walk};
use crate::stores::AskedRow;
use mudlark_parsers::value::TextEncoding;
use std::collections::{HashMap, HashSet};

/// For tables whose rows were given other ids the states that did so, each with the new ids of the old ones.
pub(super) type Renumbered = HashMap<usize, Vec<(u32, HashMap<i64, i64>)>>;

/// What came of following all commits.
pub(super) struct Followed {
    /// Those of the chosen state come first.
    pub objects: Vec<Object>,
    /// How many these are.
    pub known: usize,
    pub events: Vec<Gathered>,
    pub renumbered: Renumbered,
    pub grown: HashMap<(usize, i64, u64), u64>,
    pub schema_known: bool,
    pub owners: HashMap<(u32, u32), u32>,
}

impl Followed {
    /// `Err` is an object whose events must all be held, but for those that are `whole` anyway.
    pub fn of(
        pages: &Pages<'_>,
        encoding: TextEncoding,
        chosen: u32,
        asked: Option<&AskedRow>,
        whole: &HashSet<usize>,
    ) -> Option<Result<Self, usize>> {
        let mut whole = whole.clone();
        let mut walk = Walk::begin(pages, encoding);
        let mut at_chosen = (chosen == 0).then(|| walk.objects.clone());
        let mut events: Vec<Gathered> = Vec::new();
        let mut renumbered = Renumbered::new();
        let mut grown = HashMap::new();
        let mut owners: HashMap<(u32, u32), u32> =
            walk.owned().map(|(page, object)| ((page, 0), object)).collect();
        for state in 1..=pages.last() {
            let mut step = walk.step(state);
            if walk.overrun {
                return None;
            }
            if state == chosen && chosen < pages.last() {
                at_chosen = Some(walk.objects.clone());
            }
            let written = pages.written(state);
            owners.extend(written.filter_map(|page| Some(((page, state), walk.surely_owned(page)?))));
            events.resize_with(walk.objects.len(), Gathered::default);
            for change in &mut step.tables {
                let number = change.object;
                if !change.renumbered.is_empty() {
                    let ids = change.renumbered.iter().copied().collect();
                    renumbered.entry(number).or_default().push((state, ids));
                }
                grown.extend(change.grown.iter().filter_map(|row| {
                    let (before, after) = (row.before?.content?, row.after?.content?);
                    Some(((number, row.key, before), after))
                }));
                let goes_on = !change.renumbered.is_empty() || !change.grown.is_empty();
                let Some(events) = events.get_mut(number) else { continue };
                if goes_on && events.is_cut() {
                    return Some(Err(number));
                }
                whole.extend(goes_on.then_some(number));
                events.go_on(change);
                let is_of = |object: &Object, asked: &AskedRow| {
                    object.has_alias() && object.name.eq_ignore_ascii_case(&asked.table)
                };
                let object = walk.objects.get(number);
                let only = object.zip(asked).filter(|(object, asked)| is_of(object, asked));
                let is_wanted = |row: &&RowChange| only.is_none_or(|(_, asked)| row.key == asked.rowid);
                let has_rows = object.is_some_and(|object| object.keys != Keys::None);
                let may_be_cut = has_rows && only.is_none() && !whole.contains(&number);
                events.add((change, state), is_wanted, may_be_cut);
            }
        }
        events.resize_with(walk.objects.len(), Gathered::default);
        let schema_known = walk.schema_known;
        let mut objects = at_chosen.unwrap_or_else(|| walk.objects.clone());
        let known = objects.len();
        // What is found of an object later says as much of its rows before.
        for (object, last) in objects.iter_mut().zip(&walk.objects) {
            (object.broken, object.incomplete, object.blind) = (last.broken, last.incomplete, last.blind);
        }
        objects.extend(walk.objects.drain(known..));
        Some(Ok(Self { objects, known, events, renumbered, grown, schema_known, owners }))
    }
}
