//! All commits followed, one after the other: what they did to the rows of each table.

use super::events::Gathered;
use super::objects::Object;
use super::pages::Pages;
use super::renumbered::Renumbered;
use super::walk::Walk;
use crate::stores::AskedRow;
use mudlark_parsers::value::TextEncoding;
use std::collections::HashMap;
use std::sync::Arc;

/// For tables whose rows were given other ids the states that did so, in order, each with the new ids.
pub(super) type GivenIds = HashMap<usize, Vec<(u32, Arc<Renumbered>)>>;

/// What came of following all commits.
pub(super) struct Followed {
    /// Those of the chosen state come first.
    pub objects: Vec<Object>,
    /// How many these are.
    pub known: usize,
    pub events: Vec<Gathered>,
    pub renumbered: GivenIds,
    pub schema_known: bool,
    pub owners: HashMap<(u32, u32), u32>,
}

impl Followed {
    /// `None` when more would have to be read than a sound log could ask for.
    pub fn of(
        pages: &Pages<'_>,
        encoding: TextEncoding,
        chosen: u32,
        asked: Option<&AskedRow>,
    ) -> Option<Self> {
        let mut walk = Walk::begin(pages, encoding);
        let mut at_chosen = (chosen == 0).then(|| walk.objects.clone());
        let mut events: Vec<Gathered> = Vec::new();
        let mut renumbered = GivenIds::new();
        let mut owners: HashMap<(u32, u32), u32> =
            walk.owned().map(|(page, object)| ((page, 0), object)).collect();
        for state in 1..=pages.last() {
            let step = walk.step(state);
            if walk.overrun {
                return None;
            }
            if state == chosen && chosen < pages.last() {
                at_chosen = Some(walk.objects.clone());
            }
            let written = pages.written(state);
            owners.extend(written.filter_map(|page| Some(((page, state), walk.surely_owned(page)?))));
            events.resize_with(walk.objects.len(), Gathered::default);
            for change in step.tables {
                let number = change.object;
                let given = (!change.renumbered.is_empty()).then(|| Arc::new(change.renumbered.clone()));
                if let Some(ids) = &given {
                    renumbered.entry(number).or_default().push((state, Arc::clone(ids)));
                }
                let is_of = |object: &&Object, asked: &AskedRow| {
                    object.has_alias() && object.name.eq_ignore_ascii_case(&asked.table)
                };
                let object = walk.objects.get(number);
                let only = object.zip(asked).filter(|(object, asked)| is_of(object, asked));
                let only = only.map(|(_, asked)| asked.rowid);
                let layout = object.and_then(|object| object.layout.as_ref());
                if let Some(events) = events.get_mut(number) {
                    events.add(pages, (change, state), (given, layout), only);
                }
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
        Some(Self { objects, known, events, renumbered, schema_known, owners })
    }
}
