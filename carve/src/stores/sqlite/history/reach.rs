//! Whether all pages of a state are there, and what stands in for those that are not.

use super::pages::{Lost, Pages, Seen};
use super::point::{States, Told, refused};
use super::timeline::encoding_at;
use super::walk::Walk;
use crate::error::Error;
use crate::model::{Goal, Stand};
use crate::source::Source;
use crate::stores::sqlite::view::PageVersion;
use std::collections::{BTreeMap, HashMap};

/// Pages of a table that are named when they are lost; a person reads no more.
const MOST_NAMED: usize = 8;

/// A state all of whose pages are there, or have something that stands in for them.
#[derive(Debug)]
pub struct Reached<'a> {
    pub state: u32,
    /// Pages of the database in it.
    pub count: u32,
    /// What stands in for pages that are lost; `None` for zeros.
    stands_in: HashMap<u32, Option<PageVersion<'a>>>,
    /// The same, for a person.
    pub stands: Vec<Stand>,
}

impl<'a> Reached<'a> {
    /// Finds a point, and what its pages are.
    ///
    /// # Errors
    /// When there is no such point, or a page that it needs is lost and nothing may stand in for it.
    pub fn of(states: &States<'a>, sources: &[Source], goal: Goal) -> Result<Self, Error> {
        let state = states.find(goal)?;
        let pages = &states.pages;
        let refused = |reason| refused(sources, reason);
        let count = pages.page_count(state).ok_or_else(|| {
            let why = pages.told_short().map(|short| format!(": {short}")).unwrap_or_default();
            refused(format!("{} can't be reached: how many pages it had is lost{why}", goal.until))
        })?;
        let lost: Vec<u32> =
            (1..=count).filter(|page| matches!(pages.at(*page, state), Seen::Unknown)).collect();
        let mut reached = Self { state, count, stands_in: HashMap::new(), stands: Vec::new() };
        if lost.is_empty() {
            return Ok(reached);
        }
        let mut walk = Walk::begin(pages, encoding_at(pages, 0));
        for state in 1..=state {
            walk.step(state);
        }
        let name = |page: u32| walk.object_of(page).map(str::to_owned);
        if !goal.partial {
            return Err(refused(unreachable(states, state, goal, &lost, &name)));
        }
        for page in lost {
            let found = pages.stand_in(page, state);
            let by = match found {
                None => "zeros: no source has any of it".to_owned(),
                Some((version, of_state)) => {
                    let source = sources.get(usize::from(version.source.0)).map_or("", Source::name);
                    let at = version.offset;
                    match of_state {
                        Some(of) if of == state => format!("its damaged bytes in {source} at {at:#x}"),
                        Some(of) => format!("as of {}, in {source} at {at:#x}", states.point(of)),
                        None => format!("as the main file has it, in {source} at {at:#x}"),
                    }
                }
            };
            reached.stands_in.insert(page, found.map(|(version, _)| version));
            reached.stands.push(Stand { page, table: name(page), by });
        }
        Ok(reached)
    }

    /// The pages for which something else stands in.
    pub fn stand_ins(&self) -> impl Iterator<Item = u32> + '_ {
        self.stands.iter().map(|stand| stand.page)
    }

    /// A page of the state, or what stands in for it; `None` for one that was counted and never written: a free page,
    /// for which a file system gives zeros.
    pub fn page(&self, pages: &Pages<'a>, page: u32) -> Option<PageVersion<'a>> {
        match self.stands_in.get(&page) {
            Some(version) => *version,
            None => pages.at(page, self.state).image(),
        }
    }
}

/// Why a point can't be reached: the pages that are lost, by table.
fn unreachable(
    states: &States<'_>,
    state: u32,
    goal: Goal,
    lost: &[u32],
    name: &dyn Fn(u32) -> Option<String>,
) -> String {
    let of = |why: Lost| -> Vec<u32> {
        lost.iter().copied().filter(|page| states.pages.why_lost(*page, state) == why).collect()
    };
    let (damaged, overwritten, not_there) = (of(Lost::Damaged), of(Lost::Overwritten), of(Lost::NotThere));
    let mut why = Vec::new();
    if !not_there.is_empty() {
        why.push(format!(
            "{} pages that it needs stood in a part of the main file that is not there: {}",
            not_there.len(),
            by_table(&not_there, name)
        ));
    }
    if !overwritten.is_empty() {
        why.push(format!(
            "a later checkpoint has overwritten {} pages that it needs, or may have, and no frame of the log holds them: {}",
            overwritten.len(),
            by_table(&overwritten, name)
        ));
    }
    if !damaged.is_empty() {
        let what = if states.told == Told::Log { "frames of the log" } else { "records of the journal" };
        why.push(format!(
            "of {} pages that it needs the {what} are damaged: {}",
            damaged.len(),
            by_table(&damaged, name)
        ));
    }
    format!("{} can't be reached: {}", goal.until, why.join("; "))
}

fn by_table(lost: &[u32], name: &dyn Fn(u32) -> Option<String>) -> String {
    let mut by_table: BTreeMap<String, Vec<u32>> = BTreeMap::new();
    for page in lost {
        let name = name(*page).unwrap_or_else(|| "no table that is known".to_owned());
        by_table.entry(name).or_default().push(*page);
    }
    let named = by_table.iter().map(|(table, pages)| {
        let numbers: Vec<String> = pages.iter().take(MOST_NAMED).map(u32::to_string).collect();
        let more = if pages.len() > MOST_NAMED {
            format!(" and {} more", pages.len() - MOST_NAMED)
        } else {
            String::new()
        };
        format!("{table} (pages {}{more})", numbers.join(", "))
    });
    named.collect::<Vec<_>>().join("; ")
}
