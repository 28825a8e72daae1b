//! A database under way: walked, laid and walked again, until nothing changes.

mod pools;
mod seek;
mod twins;

use super::body::{Body, Expect};
use super::fit::{EVIDENCE, MISFIT, STRONG};
use super::known::Known;
use super::lay::{self, Field, Guess, Laid};
use super::search::EMPTY;
use super::walk::{self, Start, Walked};
use super::{Assembly, Rival};
use foldhash::fast::RandomState;
use mudlark_parsers::sqlite::header::{self, Header};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

/// Rounds of walking and laying: each finds at least one more level of a tree, or one more run of a chain.
const MOST_ROUNDS: usize = 40;

/// The least lead of a place over the next best one by which it counts as decided.
const DECIDED: f32 = 3.0;

/// From such a lead on, where the bytes speak for it as well, a place stands as long as the same is expected of its page.
const FIXED: f32 = 9.0;

/// Places that fit so nearly alike are as good as one another.
const ALIKE: f32 = 1.0;

/// Pages so many of whose children tell their place themselves are told by that.
const LEADS: u32 = 2;

/// The same for another place whose bytes speak for it.
const DOUBTED: f32 = 8.0;

/// Pages on each side that count for the place of a page.
const NEIGHBOURS: usize = 3;

/// The most that counts of how much worse another place would be: there may be none.
const MOST_MARGIN: f32 = 6.0;

/// Places that are kept for one number while pages are laid.
const MOST_KEPT: usize = 6;

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
    walked: Walked,
    /// Whether a page lies elsewhere since the last walk.
    moved: bool,
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
            walked: Walked::default(),
            moved: true,
            held: None,
        }
    }

    /// Where the database lies in the image when it lies in one piece.
    pub(super) fn one_piece(&self) -> Option<Range<u64>> {
        let first = self.body.first?;
        let end = first + u64::from(self.body.count) * self.body.size();
        (end <= self.body.image.len() as u64).then_some(first..end)
    }

    /// The database, when it lies in one piece behind its page 1, and all its parts are there.
    pub(super) fn in_one_piece(&self) -> Option<Assembly> {
        let (first, size) = (self.one_piece()?.start, self.body.size());
        let place = |number: u32| Some(first + u64::from(number - 1) * size);
        let walked = walk::walk(&self.body, &mut Known::default(), &[], &place, &mut |_, _, _| {});
        walked.is_whole(self.body.count).then(|| Assembly {
            geometry: self.body.geometry,
            header: self.header,
            places: (1..=self.body.count).map(place).collect(),
            rivals: Vec::new(),
            pools: Vec::new(),
            missing: Vec::new(),
            whole: true,
            broken_links: 0,
        })
    }

    /// Lays the pages, as far as they can be found.
    pub(super) fn run(&mut self, claimed: &dyn Fn(u64) -> bool) {
        if self.places.is_empty() {
            self.begin();
        }
        let mut tries = Tries::default();
        let mut unbarred = false;
        for _ in 0..MOST_ROUNDS {
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
                let unbars = !unbarred && self.unbar();
                unbarred = true;
                if !unbars && !self.seek(claimed) {
                    break;
                }
                continue;
            }
            if tries.are_enough(&self.walked) {
                if !self.seek(claimed) {
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

    /// Lets go of pages that stand in places to which others have the better claim.
    fn unfix(&mut self) {
        let size = self.body.size();
        for (number, fixed) in (1..).zip(&mut self.fixed) {
            let offset = fixed.and_then(|laid| laid.offset(number, size));
            if offset
                .is_some_and(|offset| self.lost.contains(&offset) || self.barred.contains(&(number, offset)))
            {
                *fixed = None;
                if let Some(sought) = self.sought.get_mut(number as usize - 1) {
                    *sought = false;
                }
            }
        }
        for (number, (place, changed)) in (1..).zip(self.places.iter().zip(&mut self.changed)) {
            let gone = |offset: u64| self.lost.contains(&offset) || self.barred.contains(&(number, offset));
            *changed |= place.is_some_and(gone);
        }
    }

    /// Walks over what is laid; what was expected of the pages before. `None` where no page lies elsewhere since.
    fn walk(&mut self) -> Option<Vec<Expect>> {
        if !std::mem::take(&mut self.moved) {
            return None;
        }
        self.held = None;
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

    /// Bars pages from places that others of this database have the better claim to.
    fn bar_doubles(&mut self) {
        let mut best: HashMap<u64, u32, RandomState> = HashMap::default();
        let mut barred = Vec::new();
        for (number, offset) in self.placed() {
            let Some(other) = best.insert(offset, number) else { continue };
            if self.claim(other) >= self.claim(number) {
                best.insert(offset, other);
                barred.push((number, offset));
            } else {
                barred.push((other, offset));
            }
        }
        self.barred.extend(&barred);
        if !barred.is_empty() {
            self.unfix();
        }
    }

    /// Lets pages have places again from which they were barred, and which no other page has taken; whether there were any.
    fn unbar(&mut self) -> bool {
        let taken: HashSet<u64, RandomState> = self.placed().map(|(_, offset)| offset).collect();
        let changed = &mut self.changed;
        let before = self.barred.len();
        self.barred.retain(|(number, offset)| {
            let stays = taken.contains(offset);
            if let Some(changed) = changed.get_mut(*number as usize - 1).filter(|_| !stays) {
                *changed = true;
            }
            stays
        });
        self.barred.len() < before
    }

    /// How good a claim a page has to its place: what speaks for it, and how much worse it would do elsewhere.
    pub(super) fn claim(&self, number: u32) -> f32 {
        let margin = self.laid.get(number as usize - 1).map_or(0.0, |laid| laid.margin);
        let leads = if self.leads_to_some(number) { FIXED } else { 0.0 };
        self.support(number) + leads + margin.clamp(0.0, MOST_MARGIN)
    }

    /// Whether a page is the one of its number because pages that it leads to are.
    fn leads_to_some(&self, number: u32) -> bool {
        let at = number as usize - 1;
        // A page that was looked for was found by its children, which may not lie yet.
        let sought = self.sought.get(at) == Some(&true) && self.fixed.get(at).is_some_and(Option::is_some);
        self.fit(number) >= 0.0 && (sought || self.leads.get(at).is_some_and(|leads| *leads >= LEADS))
    }

    /// Whether the bytes of a page tell its place: the last page of a chain has nothing but the length of what it holds, which may
    /// be that of many.
    fn is_evident(&self, at: usize) -> bool {
        let is_last = match self.expects.get(at) {
            Some(Expect::Chain { left, .. }) => *left <= u64::from(self.body.geometry.overflow_capacity()),
            _ => false,
        };
        let is_one_of_many = || is_last && self.found.get(at).is_some_and(|found| found.len() > 1);
        self.leads_to_some(at as u32 + 1)
            || self.fits.get(at).is_some_and(|fit| *fit >= EVIDENCE) && !is_one_of_many()
    }

    /// The pages whose places are beyond doubt: their bytes tell it, or those of pages on both sides in the same run.
    pub(super) fn firm(&self) -> Vec<bool> {
        let mut firm: Vec<bool> = self.fits.iter().map(|fit| *fit >= STRONG).collect();
        for mut run in self.runs() {
            let evident = |index: &usize| self.is_evident(*index);
            let (first, last) = (run.clone().find(evident), run.rfind(evident));
            if let Some((first, last)) = first.zip(last) {
                firm.get_mut(first..last).unwrap_or_default().fill(true);
            }
        }
        firm
    }

    /// How much of it is in its place.
    pub(super) fn rank(&self) -> Rank {
        let Walked { reached, fitting, broken, .. } = self.walked;
        if self.header.is_some() && self.walked.is_whole(self.body.count) {
            Rank::Whole
        } else if u64::from(fitting) * 10 >= u64::from(self.body.count) * 9 && broken * 10 <= reached {
            Rank::Most
        } else {
            Rank::Scraps
        }
    }

    /// The pages that lie amid a run: on both sides, or in themselves and on one, pages of the run tell it by their bytes.
    pub(super) fn bound(&self) -> Vec<bool> {
        let mut bound = vec![false; self.places.len()];
        for mut run in self.runs() {
            let evident = |index: &usize| self.is_evident(*index);
            let (first, last) = (run.clone().find(evident), run.rfind(evident));
            if let Some((first, last)) = first.zip(last).filter(|(first, last)| first < last) {
                bound.get_mut(first..=last).unwrap_or_default().fill(true);
            }
        }
        bound
    }

    /// The pages that it holds for good against databases without a first page: those that lie amid a run, and those of its trees
    /// whose bytes tell it, or those of their children.
    pub(super) fn own(&self) -> Vec<bool> {
        let mut own = self.bound();
        for (number, (expect, own)) in (1..).zip(self.expects.iter().zip(&mut own)) {
            let tells = self.fit(number) >= EVIDENCE || self.leads_to_some(number);
            *own |= self.header.is_some() && tells && matches!(expect, Expect::Tree { .. });
        }
        own
    }

    /// The runs in which its pages lie: indexes of `places`.
    fn runs(&self) -> Vec<Range<usize>> {
        let size = self.body.size();
        let mut runs: Vec<Range<usize>> = Vec::new();
        let mut before: Option<u64> = None;
        for (index, place) in self.places.iter().enumerate() {
            if let Some(place) = place {
                let goes_on = before.and_then(|before| before.checked_add(size)) == Some(*place);
                match runs.last_mut().filter(|_| goes_on) {
                    Some(run) => run.end = index + 1,
                    None => runs.push(index..index + 1),
                }
            }
            before = *place;
        }
        runs
    }

    /// Takes back places that it lost and nobody holds; whether there were any.
    pub(super) fn take_back(&mut self, is_held: &dyn Fn(u64, u64) -> bool) -> bool {
        let (size, before) = (self.body.size(), self.lost.len());
        self.lost.retain(|offset| is_held(*offset, size));
        let any = self.lost.len() < before;
        if any {
            for ((changed, place), fit) in self.changed.iter_mut().zip(&self.places).zip(&self.fits) {
                *changed |= place.is_none() || *fit < EVIDENCE;
            }
        }
        any
    }

    /// Gives up places; whether any of them was in use.
    pub(super) fn lose(&mut self, offsets: &[u64]) -> bool {
        self.lost.extend(offsets);
        self.unfix();
        !offsets.is_empty()
    }

    /// The greatest number that its links name.
    pub(super) const fn greatest(&self) -> u32 {
        self.walked.greatest
    }

    /// Where a page lies.
    pub(super) fn place(&self, number: u32) -> Option<u64> {
        self.places.get((number as usize).checked_sub(1)?).copied().flatten()
    }

    /// All pages that lie somewhere: their numbers and offsets.
    pub(super) fn placed(&self) -> impl Iterator<Item = (u32, u64)> + '_ {
        (1..).zip(&self.places).filter_map(|(number, place)| Some((number, (*place)?)))
    }

    /// How much speaks for the place of a page: how well it fits there, and less so its neighbours in the same run.
    pub(super) fn support(&self, number: u32) -> f32 {
        let size = self.body.size();
        let at = number as usize - 1;
        let place = |index: usize| self.places.get(index).copied().flatten();
        let fit = |index: usize| self.fits.get(index).copied().unwrap_or(0.0);
        let Some(own) = place(at) else { return 0.0 };
        let mut sum = fit(at);
        for step in 1..=NEIGHBOURS {
            let away = step as u64 * size;
            let before = at.checked_sub(step).filter(|index| place(*index) == own.checked_sub(away));
            let behind = Some(at + step).filter(|index| place(*index) == Some(own + away));
            sum += before.into_iter().chain(behind).map(|index| fit(index).max(0.0) / 2.0).sum::<f32>();
        }
        sum
    }

    /// How well a page fits where it lies.
    pub(super) fn fit(&self, number: u32) -> f32 {
        self.fits.get(number as usize - 1).copied().unwrap_or(0.0)
    }

    /// The pages that lie in no other place, as far as the bytes tell: between two of their run that are evident, or evident
    /// themselves while no other place found for them does nearly as well.
    pub(super) fn sure(&mut self) -> Vec<bool> {
        let mut sure = vec![false; self.places.len()];
        for mut run in self.runs() {
            let evident = |index: &usize| self.is_evident(*index);
            if let Some((first, last)) = run.clone().find(evident).zip(run.rfind(evident)) {
                sure.get_mut(first + 1..last).unwrap_or_default().fill(true);
            }
        }
        for (number, sure) in (1..).zip(&mut sure) {
            let at = number as usize - 1;
            if *sure {
                let others = self.found.get(at).cloned().unwrap_or_default();
                *sure = !others.into_iter().any(|other| self.is_as_good(number, other));
                continue;
            }
            let own = self.fits.get(at).copied().unwrap_or(MISFIT);
            let (place, expect) = (self.places.get(at).copied().flatten(), self.expects.get(at));
            let (Some(place), Some(expect)) = (place, expect) else { continue };
            let mut others = self.found.get(at).into_iter().flatten().filter(|other| **other != place);
            *sure = own >= STRONG
                && others.all(|other| own - self.known.fit(&self.body, *other, number, expect) >= DOUBTED);
        }
        sure
    }

    /// Whether another place of a page lies as well as its own: it fits no worse, and a page beside it holds the same bytes as
    /// the one beside the page. So it is where two states of one database lie side by side.
    fn is_as_good(&mut self, number: u32, other: u64) -> bool {
        let size = self.body.size();
        let beside = [(number - 1, other.checked_sub(size)), (number + 1, other.checked_add(size))];
        let same = |(number, offset): (u32, Option<u64>)| {
            let places = self.place(number).zip(offset).filter(|(own, offset)| own != offset);
            places.is_some_and(|(own, offset)| {
                let own = self.body.bytes(own);
                own.is_some() && own == self.body.bytes(offset)
            })
        };
        let Some(expect) = self.expects.get(number as usize - 1) else { return false };
        beside.into_iter().any(same)
            && self.known.fit(&self.body, other, number, expect) + ALIKE >= self.fit(number)
    }

    /// Other places that pages may have of which it is not `sure`.
    fn found_elsewhere(&mut self, sure: &[bool]) -> Vec<Rival> {
        let capacity = u64::from(self.body.geometry.overflow_capacity());
        let mut rivals = Vec::new();
        for (number, sure) in (1..).zip(sure) {
            let Some(expect) = self.expects.get(number as usize - 1) else { continue };
            let is_last = matches!(expect, Expect::Chain { left, .. } if *left <= capacity);
            if *sure
                || is_last
                || matches!(expect, Expect::Unknown | Expect::Free | Expect::Header | Expect::Lock)
            {
                continue;
            }
            // Of a tree another page may fit better by its keys, and lie beside others, when rows at its ends are gone.
            let by_keys = matches!(expect, Expect::Tree { .. });
            let least = if by_keys { DOUBTED } else { DECIDED };
            let place = self.place(number);
            let expect = *expect;
            for offset in self.body.index.find(&self.body, number, &expect, MOST_ELSEWHERE) {
                let alone = by_keys || self.is_as_good(number, offset);
                let beside = |draft: &Self, at: u64| if alone { 0.0 } else { draft.joined(number, at) };
                let own = place.map_or(0.0, |place| self.fit(number) + beside(self, place));
                let lead = own - self.known.fit(&self.body, offset, number, &expect) - beside(self, offset);
                if lead < least && !self.body.crosses(offset, number, &expect, &self.expects) {
                    rivals.push(Rival { number, offset, weight: 1.0 / (1.0 + f64::from(lead).exp()) });
                }
            }
        }
        rivals
    }

    /// Pages that lie by themselves, each with a place beside others of its own that it lost and that it fits as well.
    pub(super) fn wishes(&mut self) -> Vec<(u32, u64)> {
        let mut wishes = Vec::new();
        for (number, expect) in (1..).zip(&self.expects) {
            let Some(place) = self.place(number).filter(|place| self.joined(number, *place) <= 0.0) else {
                continue;
            };
            let own = self.fit(number);
            for offset in self.found.get(number as usize - 1).into_iter().flatten() {
                let lost = self.lost.contains(offset) && *offset != place;
                let fits =
                    |known: &mut Known| known.fit(&self.body, *offset, number, expect) >= own - DECIDED;
                if lost && self.joined(number, *offset) > 0.0 && fits(&mut self.known) {
                    wishes.push((number, *offset));
                    break;
                }
            }
        }
        wishes
    }

    /// Gives up the place of a page for another one, which it had lost before; the place that it gives up.
    pub(super) fn exchange(&mut self, number: u32, wanted: u64) -> Option<u64> {
        let at = number as usize - 1;
        let given = self.place(number)?;
        self.lost.insert(given);
        self.lost.remove(&wanted);
        *self.fixed.get_mut(at)? = None;
        *self.changed.get_mut(at)? = true;
        Some(given)
    }

    /// What speaks for a place in that the pages before and behind lie beside it.
    pub(super) fn joined(&self, number: u32, offset: u64) -> f32 {
        let size = self.body.size();
        let before = offset.checked_sub(size).filter(|before| self.place(number - 1) == Some(*before));
        let behind = Some(offset + size).filter(|behind| self.place(number + 1) == Some(*behind));
        lay::BREAK * before.into_iter().chain(behind).count() as f32
    }

    /// What the database came to; `claimed` tells which places are of other files for sure.
    pub(super) fn finish(mut self, claimed: &dyn Fn(u64) -> bool) -> Assembly {
        let size = self.body.size();
        // What nothing leads to is of the database only amid pages that are.
        let firm = self.firm();
        for ((place, expect), firm) in self.places.iter_mut().zip(&self.expects).zip(firm) {
            if *expect == Expect::Unknown && !firm {
                *place = None;
            }
        }
        let sure = self.sure();
        let is_sure = |number: u32| sure.get(number as usize - 1) == Some(&true);
        let mut missing = Vec::new();
        let mut rivals: BTreeMap<(u32, u64), Rival> = BTreeMap::new();
        for (number, laid) in (1..).zip(&self.laid) {
            let expect = self.expects.get(number as usize - 1);
            if self.place(number).is_none() && !matches!(expect, Some(Expect::Lock)) {
                missing.push(number);
            }
            let rival = laid.rival.filter(|_| laid.margin < DECIDED && !is_sure(number));
            if let Some(offset) = rival.and_then(|base| lay::place(base, number, size)) {
                // The scores are logarithms.
                let weight = 1.0 / (1.0 + f64::from(laid.margin).exp());
                rivals.insert((number, offset), Rival { number, offset, weight });
            }
        }
        let pools = self.pools(&sure, claimed);
        let elsewhere = self.found_elsewhere(&sure);
        let in_twins = self.in_twins(claimed);
        for rival in self.over_breaks(&sure).into_iter().chain(elsewhere).chain(in_twins) {
            rivals.entry((rival.number, rival.offset)).or_insert(rival);
        }
        // Where both hold the same bytes, either will do.
        let differs = |rival: &Rival| {
            let at = self.place(rival.number);
            let same = |at: u64| at == rival.offset || self.body.bytes(at) == self.body.bytes(rival.offset);
            !at.is_some_and(same)
        };
        Assembly {
            geometry: self.body.geometry,
            header: self.header,
            whole: self.header.is_some() && self.walked.is_whole(self.body.count),
            rivals: rivals.into_values().filter(|rival| !claimed(rival.offset) && differs(rival)).collect(),
            pools,
            missing,
            broken_links: self.walked.broken,
            places: self.places,
        }
    }

    /// Where a run ends, the pages before and behind that may as well be of it: their bytes don't tell.
    fn over_breaks(&mut self, sure: &[bool]) -> Vec<Rival> {
        let size = self.body.size();
        let mut rivals = Vec::new();
        for run in self.runs() {
            let Some(offset) = self.places.get(run.start).copied().flatten() else { continue };
            let base = lay::base_of(Guess { number: run.start as u32 + 1, offset }, size);
            let mut ask = |at: usize| {
                let number = at as u32 + 1;
                let (Some(false), Some(expect)) = (sure.get(at), self.expects.get(at)) else { return false };
                let Some(offset) = lay::place(base, number, size) else { return false };
                if matches!(expect, Expect::Unknown | Expect::Lock) {
                    return false;
                }
                let placed = self.places.get(at).copied().flatten().is_some();
                let own = if placed { self.fits.get(at).copied().unwrap_or(0.0) } else { 0.0 };
                let fit = self.known.fit(&self.body, offset, number, expect);
                let crosses = self.body.crosses(offset, number, expect, &self.expects);
                if fit >= 0.0 && own - fit < DECIDED && !crosses {
                    let weight = 1.0 / (1.0 + f64::from(own - fit).exp());
                    rivals.push(Rival { number, offset, weight });
                }
                fit >= 0.0
            };
            let _ = (0..run.start).rev().take_while(|at| ask(*at)).count();
            let _ = (run.end..self.places.len()).take_while(|at| ask(*at)).count();
        }
        rivals
    }
}
