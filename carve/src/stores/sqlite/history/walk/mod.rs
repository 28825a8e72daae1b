//! From one state to the next: which pages joined and left each tree, and what that did to its rows.
//!
//! Only the pages that a commit wrote are looked at, and those that left a tree without being written, as freed pages do.
//! A page that joins a tree is always written. So the rows of the pages before and behind a commit, as sets, differ by
//! just what the commit did, however balancing moved cells between pages.

mod change;
mod compare;
mod definitions;
mod exchanged;
mod proven;
mod reread;
mod unwritten;

pub use change::{Changed, RowChange, TableChange};
pub use reread::{Reread, again as read_again};

use super::objects::{Object, children, schema_at};
use super::pages::{Pages, Seen};
use mudlark_parsers::sqlite::page::{Page, PageKind};
use mudlark_parsers::sqlite::schema_row::SchemaKind;
use mudlark_parsers::value::TextEncoding;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// The tree that a page belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Owner {
    #[default]
    None,
    Is(u32),
    /// By a page that is known in a later state only.
    Perhaps(u32),
}

impl Owner {
    pub(super) const fn object(self) -> Option<u32> {
        match self {
            Self::None => None,
            Self::Is(object) | Self::Perhaps(object) => Some(object),
        }
    }
}

/// What a commit did to definitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemaChange {
    pub kind: SchemaKind,
    pub name: String,
    pub what: SchemaAct,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SchemaAct {
    Created,
    Dropped,
    Altered,
    /// From this name.
    Renamed(String),
}

/// What a commit did.
#[derive(Debug, Default)]
pub struct Step {
    pub tables: Vec<TableChange>,
    pub schema: Vec<SchemaChange>,
}

/// The trees of a database in one state.
#[derive(Debug)]
pub struct Walk<'p, 'a> {
    pub(super) pages: &'p Pages<'a>,
    pub(super) encoding: TextEncoding,
    pub objects: Vec<Object>,
    /// By page.
    pub(super) owners: Vec<Owner>,
    /// The leaf that leads to an overflow page; made when it is first asked.
    pub(super) spilled: Option<HashMap<u32, u32>>,
    /// Interior pages that led to other pages before the first state in which they are known, with that state.
    inner: HashMap<u32, u32>,
    /// Interior pages that were not known when the walk began, and may not be yet.
    unknown: Vec<u32>,
    /// Objects with pages that are known in no state, so that nothing tells what hung below these.
    hidden: BTreeSet<u32>,
    /// The definitions of state 0 are known.
    pub schema_known: bool,
    /// More was asked of the pages than a sound file could need.
    pub overrun: bool,
}

/// The pages whose rows may differ between two states, of one object.
#[derive(Debug, Default)]
pub(super) struct Touched {
    pub before: BTreeSet<u32>,
    pub after: BTreeSet<u32>,
    /// Pages before or behind that are not known for sure to be of the object.
    pub unsure_before: bool,
    pub unsure_after: bool,
}

/// Whether rows have the ids that they had.
#[derive(Clone, Copy, Debug)]
pub(super) enum Ids<'i> {
    /// They have.
    Kept,
    /// VACUUM may have given other ones.
    Sought,
    /// It has, to the rows of these objects.
    Given(&'i HashMap<usize, NewIds>),
}

/// The ids that rows were given, by the ones that they had; all other rows were gone by then.
pub(super) type NewIds = HashMap<i64, i64>;

impl Ids<'_> {
    fn are_kept(self, object: u32) -> bool {
        match self {
            Self::Kept => true,
            Self::Sought => false,
            Self::Given(ids) => !ids.contains_key(&(object as usize)),
        }
    }

    /// Whether the rows of the object have other ids, which are known.
    fn are_known(self, object: u32) -> bool {
        matches!(self, Self::Given(_)) && !self.are_kept(object)
    }
}

impl<'p, 'a> Walk<'p, 'a> {
    /// The trees in state 0.
    pub fn begin(pages: &'p Pages<'a>, encoding: TextEncoding) -> Self {
        let most =
            pages.main_pages.max(pages.commits.iter().map(|commit| commit.page_count).max().unwrap_or(0));
        let written = (1..=pages.last()).flat_map(|state| pages.written(state)).max().unwrap_or(0);
        let size = most.max(written).min(pages.most) as usize + 1;
        let mut walk = Self {
            pages,
            encoding,
            objects: vec![Object::schema()],
            owners: vec![Owner::None; size],
            spilled: None,
            inner: HashMap::new(),
            unknown: Vec::new(),
            hidden: BTreeSet::new(),
            schema_known: false,
            overrun: false,
        };
        pages.begin();
        walk.grow(1, Owner::Is(0), 0);
        let (rows, known) = schema_at(pages, 0, encoding);
        walk.schema_known = known;
        walk.objects.extend(rows.iter().map(|row| Object::of(row, None, encoding)));
        exchanged::take_back(pages, &mut walk.objects);
        let roots: Vec<u32> = walk.objects.iter().map(|object| object.root).collect();
        for (object, root) in (0..).zip(roots).filter(|(_, root)| *root > 1) {
            let owner = Owner::Is(object);
            walk.grow(root, if known { owner } else { walk.below_unknown(1, owner, root, 0) }, 0);
        }
        walk.prove_owners();
        walk.prove_unwritten(0);
        walk
    }

    /// The owner of a page to which one leads that is known in a later state only: a page joins a tree when it is written,
    /// so one that was not written then hung there before.
    fn below_unknown(&self, parent: u32, owner: Owner, page: u32, state: u32) -> Owner {
        let Some(object) = owner.object() else { return Owner::None };
        let first = self.pages.first_known(parent, state);
        let joined = |first| self.pages.is_written_by(page, first) || self.pages.has_older_base(page);
        if first.is_none_or(joined) { Owner::Perhaps(object) } else { owner }
    }

    /// The pages that are known to be an object's, with its index.
    pub fn owned(&self) -> impl Iterator<Item = (u32, u32)> + '_ {
        (0..self.owners.len() as u32).filter_map(|page| Some((page, self.surely_owned(page)?)))
    }

    /// The object that a page is known to be of.
    pub fn surely_owned(&self, page: u32) -> Option<u32> {
        match self.owner(page) {
            Owner::Is(object) => Some(object),
            Owner::None | Owner::Perhaps(_) => None,
        }
    }

    fn owner(&self, page: u32) -> Owner {
        self.owners.get(page as usize).copied().unwrap_or_default()
    }

    /// The name of the table or index that a page belongs to.
    pub fn object_of(&self, page: u32) -> Option<&str> {
        let object = self.owner(page).object()?;
        self.objects.get(object as usize).map(|object| object.name.as_str())
    }

    /// Whether an object has at most so many rows in the state that the walk has come to.
    pub fn holds_no_more(&self, object: usize, state: u32, rows: u64) -> bool {
        let mut left = rows;
        (0..self.owners.len() as u32)
            .filter(|page| self.owner(*page).object() == Some(object as u32))
            .filter_map(|page| {
                Page::parse(self.pages.at(page, state).image()?.bytes, page, self.pages.geometry)
            })
            .filter(|page| page.header.kind != PageKind::TableInterior)
            .all(|page| match left.checked_sub(page.header.cell_count.into()) {
                Some(rest) => {
                    left = rest;
                    true
                }
                None => false,
            })
    }

    fn set_owner(&mut self, page: u32, owner: Owner) {
        if let Some(place) = self.owners.get_mut(page as usize) {
            *place = owner;
        }
    }

    /// Whether a page can be a child.
    fn is_link(&self, page: u32) -> bool {
        page > 1 && (page as usize) < self.owners.len()
    }

    fn set_broken(&mut self, owner: Owner) {
        let object = owner.object().and_then(|object| self.objects.get_mut(object as usize));
        if let Some(object) = object {
            object.broken = true;
        }
    }

    /// An interior page's children in a state, and whether the page is known then. A page that is known only later
    /// stands for what it was.
    fn children(&self, page: u32, state: u32) -> (Vec<u32>, bool) {
        let seen = self.pages.at(page, state);
        let known = !matches!(seen, Seen::Unknown);
        let version = seen.image().or_else(|| self.pages.at_or_later(page, state).image());
        let parsed = version.and_then(|version| Page::parse(version.bytes, page, self.pages.geometry));
        (parsed.map(|page| children(&page)).unwrap_or_default(), known)
    }

    fn is_interior(&self, page: u32, state: u32) -> bool {
        let version = self.pages.at_or_later(page, state).image();
        let parsed = version.and_then(|version| Page::parse(version.bytes, page, self.pages.geometry));
        parsed.is_some_and(|page| page.header.kind.is_interior())
    }

    /// Gives a page and all below it that no tree has to an object.
    fn grow(&mut self, root: u32, owner: Owner, state: u32) {
        if self.owner(root) != Owner::None {
            return;
        }
        self.set_owner(root, owner);
        let mut next = vec![root];
        while let Some(page) = next.pop() {
            let (children, known) = self.children(page, state);
            let owner = self.owner(page);
            if !known && !children.is_empty() {
                self.unknown.push(page);
            } else if !known && self.pages.at_or_later(page, state).image().is_none() {
                self.hidden.extend(owner.object());
            }
            // All leaves of a tree lie equally deep.
            let first =
                children.iter().find(|child| self.pages.at_or_later(**child, state).image().is_some());
            let deeper = first.is_none_or(|first| self.is_interior(*first, state));
            for child in children {
                if self.owner(child) != Owner::None || !self.is_link(child) {
                    self.set_broken(owner);
                } else {
                    let below = if known { owner } else { self.below_unknown(page, owner, child, state) };
                    self.set_owner(child, below);
                    next.extend(deeper.then_some(child));
                }
            }
        }
    }

    /// Goes on to the next state.
    pub fn step(&mut self, state: u32) -> Step {
        self.pages.begin();
        let mut step = Step::default();
        let written: Vec<u32> = self.pages.written(state).collect();
        let before: HashMap<u32, Owner> = written.iter().map(|page| (*page, self.owner(*page))).collect();
        let mut touched: BTreeMap<u32, Touched> = BTreeMap::new();
        // Pages that their parents may no longer lead to.
        let mut loose: BTreeMap<u32, Owner> = BTreeMap::new();
        let mut roots: Vec<(u32, u32)> = Vec::new();
        if before.iter().any(|(page, owner)| *page == 1 || owner.object() == Some(0)) {
            self.change_schema(state, &mut step.schema, &mut loose, &mut roots);
        }
        for page in &written {
            let owner = self.owner(*page);
            if owner == Owner::None {
                continue;
            }
            for child in self.children(*page, state - 1).0 {
                if self.owner(child).object() == owner.object() {
                    loose.insert(child, self.owner(child));
                }
            }
        }
        for page in loose.keys() {
            self.set_owner(*page, Owner::None);
        }
        let claimed = self.claim(state, &written, &before, roots, &loose, &mut touched);
        let left = self.leave(state, &loose, &claimed, &before);
        for (page, owner) in before.iter().map(|(page, owner)| (*page, *owner)).chain(left) {
            let Some(object) = owner.object() else { continue };
            let of = touched.entry(object).or_default();
            of.before.insert(page);
            of.unsure_before |= matches!(owner, Owner::Perhaps(_));
        }
        for page in &written {
            let owner = self.owner(*page);
            let Some(object) = owner.object() else { continue };
            let of = touched.entry(object).or_default();
            of.after.insert(*page);
            of.unsure_after |= matches!(owner, Owner::Perhaps(_));
        }
        if written.iter().any(|page| self.is_strange(*page, state)) {
            self.touch_hidden(&mut touched);
        }
        let vacuumed = written.len() as u32 + 1 >= self.page_count(state).max(2);
        let ids = if vacuumed { Ids::Sought } else { Ids::Kept };
        step.tables = self.compare([state - 1, state], &written, touched, ids);
        self.overrun |= self.pages.is_overrun();
        // Up to here another tree may have had pages.
        if self.pages.is_written_by(1, state) {
            self.prove_unwritten(state);
        }
        step
    }

    /// Notes that any object of which pages are hidden may have changed.
    pub(in super::super) fn touch_hidden(&self, touched: &mut BTreeMap<u32, Touched>) {
        for object in &self.hidden {
            let of = touched.entry(*object).or_default();
            (of.unsure_before, of.unsure_after) = (true, true);
        }
    }

    /// Whether tables may be there that no definition tells of.
    pub fn hides_definitions(&self) -> bool {
        self.hidden.contains(&0)
    }

    fn page_count(&self, state: u32) -> u32 {
        let commit = (state as usize).checked_sub(1).and_then(|index| self.pages.commits.get(index));
        commit.map_or(0, |commit| commit.page_count)
    }

    /// Gives pages to the trees that lead to them now; these pages.
    fn claim(
        &mut self,
        state: u32,
        written: &[u32],
        before: &HashMap<u32, Owner>,
        roots: Vec<(u32, u32)>,
        loose: &BTreeMap<u32, Owner>,
        touched: &mut BTreeMap<u32, Touched>,
    ) -> HashSet<u32> {
        let mut claimed: HashSet<u32> = HashSet::new();
        let mut next: Vec<u32> = Vec::new();
        for (root, object) in roots {
            self.set_owner(root, Owner::Is(object));
            claimed.insert(root);
            next.push(root);
        }
        next.extend(written.iter().filter(|page| self.owner(**page) != Owner::None));
        let mut done: HashSet<u32> = HashSet::new();
        while let Some(page) = next.pop() {
            let owner = self.owner(page);
            let Some(object) = owner.object().filter(|_| done.insert(page)) else { continue };
            let (children, known) = self.children(page, state);
            let sure = known && matches!(owner, Owner::Is(_));
            for child in children {
                if !self.is_link(child) {
                    self.set_broken(owner);
                    continue;
                }
                if self.owner(child) != Owner::None && claimed.contains(&child) {
                    // Two links to one page.
                    self.set_broken(owner);
                    self.set_broken(self.owner(child));
                }
                let had = loose.get(&child).copied().unwrap_or_else(|| self.owner(child));
                let is_written = before.contains_key(&child);
                if had == Owner::None && !is_written {
                    // No page joins a tree without being written: something is not as it seems.
                    touched.entry(object).or_default().unsure_before = true;
                    if let Some(object) = self.objects.get_mut(object as usize) {
                        object.incomplete = true;
                    }
                }
                self.set_owner(child, if sure { Owner::Is(object) } else { Owner::Perhaps(object) });
                claimed.insert(child);
                if is_written || had == Owner::None {
                    next.push(child);
                }
            }
        }
        claimed
    }

    /// The pages that left their trees, with all that hung below them.
    fn leave(
        &mut self,
        state: u32,
        loose: &BTreeMap<u32, Owner>,
        claimed: &HashSet<u32>,
        before: &HashMap<u32, Owner>,
    ) -> Vec<(u32, Owner)> {
        let mut left = Vec::new();
        let mut next: Vec<(u32, Owner)> = loose.iter().map(|(page, owner)| (*page, *owner)).collect();
        let mut done: HashSet<u32> = HashSet::new();
        while let Some((page, owner)) = next.pop() {
            let stays = claimed.contains(&page) && self.owner(page).object() == owner.object();
            if stays || !done.insert(page) {
                continue;
            }
            left.push((page, owner));
            if !claimed.contains(&page) {
                self.set_owner(page, Owner::None);
            }
            // Those of pages that were written are loose already.
            if before.contains_key(&page) {
                continue;
            }
            for child in self.children(page, state - 1).0 {
                let own = self.owner(child);
                if own.object() == owner.object() && !claimed.contains(&child) {
                    next.push((child, own));
                }
            }
        }
        left
    }
}
