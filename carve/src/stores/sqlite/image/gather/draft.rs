//! A database under way: walked, laid and walked again, until nothing changes.

mod claims;
mod entries;
mod exchange;
mod finish;
mod pools;
mod runs;
mod seek;
mod trade;
mod twins;
mod whole;

use super::body::{Body, Expect};
use super::fit::{EVIDENCE, MISFIT, STRONG};
use super::known::Known;
use super::lay::{self, Field, Guess, Laid};
use super::search::EMPTY;
use super::walk::{self, Start, Walked};
use super::work;
use foldhash::fast::RandomState;
use mudlark_parsers::sqlite::header::{self, Header};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

pub(super) use pools::Left;
pub(super) use whole::Whole;

/// Rounds of walking and laying: each finds at least one more level of a tree, or one more run of a chain.
const MOST_ROUNDS: usize = 40;

/// The least lead of a place over the next best one by which it counts as decided.
const DECIDED: f32 = 3.0;

/// From such a lead on, where the bytes speak for it as well, a place stands as long as the same is expected of its page.
const FIXED: f32 = 9.0;

/// The same for another place whose bytes speak for it.
const DOUBTED: f32 = 8.0;

/// Places that are kept for one number while pages are laid.
const MOST_KEPT: usize = 6;

/// Places that fit so nearly alike are as good as one another.
const ALIKE: f32 = 1.0;

/// Other places that are told of one page.
const MOST_ELSEWHERE: usize = 96;

/// Rounds without a page more in its place after which further ones are in vain: what was laid in one is laid otherwise in
/// the next.
const MOST_IN_VAIN: usize = 4;

/// How much of a database is in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    Scraps,
    Most,
    Whole,
}

/// How rounds went.
#[derive(Default)]
struct Tries {
    best: Option<i64>,
    in_vain: usize,
}

impl Tries {
    fn are_enough(&mut self, walked: &Walked) -> bool {
        let now = i64::from(walked.fitting) - 2 * i64::from(walked.broken);
        if self.best.is_some_and(|best| now <= best) {
            self.in_vain += 1;
        } else {
            (self.best, self.in_vain) = (Some(now), 0);
        }
        self.in_vain > MOST_IN_VAIN
    }
}

/// A database under way.
#[derive(Clone, Debug)]
pub(super) struct Draft<'i> {
    pub body: Body<'i>,
    header: Option<Header>,
    /// Pages of trees that nothing leads to from page 1.
    pub starts: Vec<Start>,
    places: Vec<Option<u64>>,
    expects: Vec<Expect>,
    fits: Vec<f32>,
    /// How many pages it leads to whose bytes tell their place, for each page.
    leads: Vec<u32>,
    laid: Vec<Laid>,
    /// What is laid and stands.
    fixed: Vec<Option<Laid>>,
    /// What was read of pages, by this draft or another one of the same database.
    pub known: Known,
    /// Where each page may lie, by its content.
    found: Vec<Vec<u64>>,
    /// Interior pages that were looked for by what they lead to, and found once.
    sought: Vec<bool>,
    /// Pages of which something changed since they were laid.
    changed: Vec<bool>,
    /// Pages of chains of which a place leads to a page that is of something else.
    crossing: BTreeSet<u32>,
    /// Pages that have what was left, with the places that were: none for last pages of chains, which share them.
    filled: BTreeMap<u32, Vec<u64>>,
    /// Places that other databases have the better claim to.
    lost: HashSet<u64, RandomState>,
    /// Places that other pages of this one have the better claim to.
    barred: HashSet<(u32, u64), RandomState>,
    /// Places of pages of indexes whose entries are not those of their tables.
    refuted: HashSet<(u32, u64), RandomState>,
    /// How much better pages lie where they do than in places that they could exchange with other databases.
    exchanges: HashMap<(u32, u64), f32, RandomState>,
    walked: Walked,
    /// Whether a page lies elsewhere since the last walk.
    moved: bool,
    /// Not all places that pages may have were asked: too many would do.
    pub unasked: bool,
    /// The places whose bytes told at the last walk which page they are.
    held: Option<Arc<Held>>,
}

/// By places, numbers of pages.
type Held = HashMap<u64, u32, RandomState>;

impl<'i> Draft<'i> {
    /// The database whose header lies at an offset; `None` where no header does. `most_pages` are the most of each size.
    pub(super) fn at(image: &'i [u8], offset: u64, most_pages: &BTreeMap<u32, u32>) -> Option<Self> {
        let bytes = image.get(usize::try_from(offset).ok()?..)?;
        let header = header::header(bytes).ok()?.1;
        let geometry = header.geometry()?;
        // More pages than the image has places for would all be missing.
        let most = most_pages.get(&geometry.page_size).copied().unwrap_or(0).max(1);
        let count = header.believed_page_count().unwrap_or(header.page_count).clamp(1, most);
        let encoding = header.text_encoding().unwrap_or_default();
        let auto_vacuum = header.auto_vacuum();
        let index = &EMPTY;
        let body =
            Body { image, geometry, index, count, linked: count, encoding, auto_vacuum, first: Some(offset) };
        Some(Self::new(body, Some(header), Vec::new()))
    }

    pub(super) fn new(body: Body<'i>, header: Option<Header>, starts: Vec<Start>) -> Self {
        Self {
            body,
            header,
            starts,
            places: Vec::new(),
            expects: Vec::new(),
            fits: Vec::new(),
            leads: Vec::new(),
            laid: Vec::new(),
            fixed: Vec::new(),
            known: Known::default(),
            found: Vec::new(),
            sought: Vec::new(),
            changed: Vec::new(),
            crossing: BTreeSet::new(),
            filled: BTreeMap::new(),
            lost: HashSet::default(),
            barred: HashSet::default(),
            refuted: HashSet::default(),
            exchanges: HashMap::default(),
            walked: Walked::default(),
            moved: true,
            unasked: false,
            held: None,
        }
    }

    /// Lays the pages, as far as they can be found.
    pub(super) fn run(&mut self, claimed: &dyn Fn(u64) -> bool) {
        if self.places.is_empty() {
            self.begin();
        }
        let mut tries = Tries::default();
        let mut unbarred = false;
        for _ in 0..MOST_ROUNDS {
            if self.known.work.is_over() {
                self.let_go();
                break;
            }
            let mut before = self.walk();
            if self.learn_levels() {
                self.moved = true;
                let again = self.walk();
                before = before.or(again);
            }
            for (number, expect) in (1..).zip(&self.expects) {
                let at = number as usize - 1;
                let Some(before) = &before else { break };
                if before.get(at) != Some(expect) && Some(number) != self.body.first.map(|_| 1) {
                    self.known.work.add(work::FIND);
                    let mut found = self.body.index.find(&self.body, number, expect, MOST_KEPT);
                    found.extend(
                        self.starts
                            .iter()
                            .filter(|start| start.number == Some(number))
                            .map(|start| start.offset),
                    );
                    if let Some(known) = self.found.get_mut(at) {
                        *known = found;
                    }
                    if let Some(fixed) = self.fixed.get_mut(at) {
                        *fixed = None;
                    }
                    if let Some(changed) = self.changed.get_mut(at) {
                        *changed = true;
                    }
                }
            }
            self.uncross();
            if !self.changed.contains(&true) {
                let refutes = self.refute();
                let unbars = !unbarred && self.unbar();
                unbarred = true;
                if !refutes && !unbars && !self.seek(claimed) {
                    break;
                }
                continue;
            }
            if tries.are_enough(&self.walked) {
                if !self.refute() && !self.seek(claimed) {
                    break;
                }
                tries = Tries::default();
                continue;
            }
            self.lay(claimed);
            self.fix(before.as_deref());
            self.bar_doubles();
        }
        self.walk();
    }

    /// Has pages of chains laid anew whose places lead to pages that are of something else now, or do so no more.
    fn uncross(&mut self) {
        if self.walked.broken == 0 && self.crossing.is_empty() {
            return;
        }
        let mut crossing = BTreeSet::new();
        for (number, (expect, place)) in (1..).zip(self.expects.iter().zip(&self.places)) {
            if matches!(expect, Expect::Chain { .. }) {
                let found = self.found.get(number as usize - 1).into_iter().flatten();
                let mut places = place.iter().chain(found);
                if places.any(|offset| self.body.crosses(*offset, number, expect, &self.expects)) {
                    crossing.insert(number);
                }
            }
        }
        for number in crossing.symmetric_difference(&self.crossing) {
            let at = *number as usize - 1;
            if let (Some(fixed), Some(changed)) = (self.fixed.get_mut(at), self.changed.get_mut(at)) {
                (*fixed, *changed) = (None, true);
            }
        }
        self.crossing = crossing;
    }

    /// Asks of the interior pages that fit where they lie whether their children are leaves; whether any of it is new.
    fn learn_levels(&mut self) -> bool {
        let mut learned = false;
        for (number, ((expect, place), fit)) in
            (1..).zip(self.expects.iter().zip(&self.places).zip(&self.fits))
        {
            let (Expect::Tree { low, leaf: None | Some(false), .. }, Some(offset)) = (*expect, *place) else {
                continue;
            };
            if *fit < 0.0 || self.known.was_asked(offset) {
                continue;
            }
            let links = self.known.links(&self.body, number, offset);
            let links = links.filter(|links| links.right_child != 0);
            let leaves = links.and_then(|links| self.body.has_leaves(low, &links));
            self.known.keep_level(offset, leaves);
            learned |= leaves.is_some();
        }
        learned
    }

    fn begin(&mut self) {
        let size = self.body.size();
        let count = self.body.count as usize;
        let first = self.body.first.map(|offset| Guess { number: 1, offset });
        let place = |number| lay::place(lay::base_of(first?, size), number, size);
        self.places = (1..=self.body.count).map(place).collect();
        self.laid = vec![Laid::NONE; count];
        self.fixed = vec![None; count];
        self.changed = vec![true; count];
        self.sought = vec![false; count];
        self.found = vec![Vec::new(); count];
        if let Some((found, first)) = self.found.first_mut().zip(first) {
            found.push(first.offset);
        }
        self.known.grow(self.body.count);
    }

    /// Lays the stretches between pages that stand in which something changed.
    fn lay(&mut self, claimed: &dyn Fn(u64) -> bool) {
        let size = self.body.size();
        let held = self.held();
        let taken = |offset: u64| claimed(offset) || self.lost.contains(&offset);
        let barred = |number: u32, offset: u64, fit: f32| {
            self.barred.contains(&(number, offset))
                || self.refuted.contains(&(number, offset))
                || fit < EVIDENCE && held.get(&offset).is_some_and(|holder| *holder != number)
        };
        let mut field = Field {
            body: &self.body,
            known: &mut self.known,
            expects: &self.expects,
            found: &self.found,
            fixed: &self.fixed,
            taken: &taken,
            barred: &barred,
        };
        let mut from = 0;
        while from < self.fixed.len() {
            let stretch = self.fixed.get(from..).unwrap_or_default().iter();
            let len = stretch.take_while(|fixed| fixed.is_none()).count();
            let within = from..from + len;
            let changed = self.changed.get(within.clone()).is_some_and(|changed| changed.contains(&true));
            if changed {
                let first = from as u32 + 1;
                let laid = lay::lay(&mut field, first, first + len as u32 - 1);
                for (index, laid) in within.clone().zip(laid) {
                    if let (Some(known), Some(place), Some(fit)) =
                        (self.laid.get_mut(index), self.places.get_mut(index), self.fits.get_mut(index))
                    {
                        let offset = laid.offset(index as u32 + 1, size);
                        self.moved |= *place != offset;
                        (*known, *place, *fit) = (laid, offset, laid.fit);
                    }
                }
            }
            from += len + 1;
        }
        self.changed.fill(false);
    }

    /// Notes which pages stand: their bytes and their lead tell, and what is expected of them was so `before`; `None` where
    /// all was.
    fn fix(&mut self, before: Option<&[Expect]>) {
        let expected = |at: usize| before.is_none_or(|before| before.get(at) == self.expects.get(at));
        for (at, (fixed, laid)) in self.fixed.iter_mut().zip(&self.laid).enumerate() {
            if expected(at) && fixed.is_none() && laid.fit >= STRONG && laid.margin >= FIXED {
                *fixed = Some(*laid);
            }
        }
    }

    /// Walks over what is laid; what was expected of the pages before. `None` where no page lies elsewhere since.
    fn walk(&mut self) -> Option<Vec<Expect>> {
        if !std::mem::take(&mut self.moved) {
            return None;
        }
        self.held = None;
        self.known.work.add(self.places.len() as u64 / work::WALK);
        let mut expects = vec![Expect::Unknown; self.places.len()];
        let mut fits = vec![0.0; self.places.len()];
        let place = |number: u32| self.places.get(number as usize - 1).copied().flatten();
        self.walked =
            walk::walk(&self.body, &mut self.known, &self.starts, &place, &mut |number, expect, fit| {
                let at = number as usize - 1;
                if let (Some(known), Some(known_fit)) = (expects.get_mut(at), fits.get_mut(at)) {
                    (*known, *known_fit) = (*expect, fit.unwrap_or(MISFIT));
                }
            });
        self.fits = fits;
        let before = std::mem::replace(&mut self.expects, expects);
        self.leads = vec![0; self.places.len()];
        for (expect, fit) in self.expects.iter().zip(&self.fits) {
            let Expect::Tree { parent, .. } = *expect else { continue };
            let lead = (parent as usize).checked_sub(1).and_then(|at| self.leads.get_mut(at));
            if let Some(lead) = lead.filter(|_| *fit >= EVIDENCE) {
                *lead += 1;
            }
        }
        Some(before)
    }

    /// The places whose bytes tell which page they are, by that page's number.
    fn held(&mut self) -> Arc<Held> {
        if let Some(held) = &self.held {
            return Arc::clone(held);
        }
        let mut held = Held::default();
        for (number, (place, fit)) in (1..).zip(self.places.iter().zip(&self.fits)) {
            if let Some(place) = place.filter(|_| *fit >= EVIDENCE || self.leads_to_some(number)) {
                held.entry(place).or_insert(number);
            }
        }
        let held = Arc::new(held);
        self.held = Some(Arc::clone(&held));
        held
    }

    /// The greatest number that its links name.
    pub(super) const fn greatest(&self) -> u32 {
        self.walked.greatest
    }

    /// Where a page lies.
    pub(super) fn place(&self, number: u32) -> Option<u64> {
        self.places.get((number as usize).checked_sub(1)?).copied().flatten()
    }

    /// How many pages lie nowhere.
    pub(super) fn lacking(&self) -> usize {
        self.places.iter().filter(|place| place.is_none()).count()
    }

    /// All pages that lie somewhere: their numbers and offsets.
    pub(super) fn placed(&self) -> impl Iterator<Item = (u32, u64)> + '_ {
        (1..).zip(&self.places).filter_map(|(number, place)| Some((number, (*place)?)))
    }
}
