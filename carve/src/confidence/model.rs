//! The model: log-odds that add up, and steps that say what became of rows with such a sum.

use crate::model::State;
use mudlark_parsers::claim::{Claim, Claims};

/// How sure a row version is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Confidence {
    /// The probability that the engine once wrote these cells together as one row.
    pub content: f64,
    /// Given that, the probability that it wrote them to this table.
    pub placement: f64,
    /// The probability of all of it, with the key where given, and that the row is live, or gone, as the state says.
    pub confidence: f64,
    /// Whether rows like it were seen often enough to say so. Without, the numbers are even odds.
    pub calibrated: bool,
}

/// Even odds.
const EVEN: f64 = 0.5;

impl Confidence {
    /// What is said of rows of which too few were seen.
    pub const UNKNOWN: Self = Self { content: 0.5, placement: 0.5, confidence: 0.5, calibrated: false };

    /// The same of a row that stands where it does with such a probability, on one page or on several.
    #[must_use]
    pub fn shared(self, share: f64, on_several: bool) -> Self {
        if !self.calibrated {
            return self;
        }
        let content = if on_several { self.content * share } else { self.content };
        // Of places that are as good one was chosen, which is right as often as not: what stands there is told, at even odds.
        let least = if share >= EVEN { self.confidence.min(EVEN) } else { 0.0 };
        let confidence = (self.confidence * share).max(least);
        Self { content, placement: self.placement * share, confidence, ..self }
    }

    /// The confidence, if it is calibrated.
    #[must_use]
    pub fn known(self, part: f64) -> Option<f64> {
        self.calibrated.then_some(part)
    }
}

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$of:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name { $($(#[$of])* $variant,)* }

        impl $name {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// It in words.
            #[must_use]
            pub const fn text(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }
    };
}

words! {
    /// What a row is taken for.
    Taken {
        /// A row that is live.
        Live = "live",
        /// One that was read where live rows of lost pages may lie, but was likelier deleted.
        LikelierGone = "likelier deleted than live",
        /// A version that was replaced.
        Superseded = "superseded",
        /// The last version of a row that is gone.
        Deleted = "deleted",
        /// A version that was never committed.
        Later = "never committed",
        /// Gone, but nothing tells how.
        Unknown = "gone in some way",
    }
}

impl Taken {
    /// What a row of this state is taken for.
    #[must_use]
    pub fn of(state: State, claims: Claims) -> Self {
        match state {
            State::Live => Self::Live,
            _ if claims.has(Claim::LikelierGone) => Self::LikelierGone,
            // It is known to be gone, and its claims are those of what it was taken for at first.
            _ if claims.has(Claim::PerhapsDeleted) => Self::Deleted,
            _ if claims.has(Claim::PerhapsSuperseded) => Self::Superseded,
            State::Superseded => Self::Superseded,
            State::Deleted => Self::Deleted,
            State::Later if claims.has(Claim::Uncommitted) => Self::Later,
            // What was committed after a point that the user chose is read as what was replaced is: the cases from which
            // the numbers are fitted have no such point, and know as later only what was never committed.
            State::Later => Self::Superseded,
            State::Unknown => Self::Unknown,
        }
    }

    /// Whether it is not live.
    #[must_use]
    pub const fn is_gone(self) -> bool {
        !matches!(self, Self::Live)
    }
}

words! {
    /// Where a row was found, as its claims tell.
    Place {
        /// In a temp file.
        TempFile = "in a temp file",
        /// In an index.
        Index = "in an index",
        /// On a page without a header.
        Bare = "on a page without a header",
        /// Where a cell pointer of before leads to.
        Stale = "behind a cell pointer of before",
        /// In a freeblock.
        Freeblock = "in a freeblock",
        /// Between cell pointers and cells.
        Gap = "in the gap of a page",
        /// On an earlier version of a page.
        Earlier = "on an earlier version of a page",
        /// On a page that is free or was replaced.
        Old = "on a freed or replaced page",
        /// In what earlier cells have left on a page.
        Remnant = "in what earlier cells have left on a page",
        /// Behind a record header that was solved.
        Solved = "behind a damaged record header",
        /// Where no cell pointer leads to.
        Salvaged = "where no cell pointer leads to",
        /// On a page that hangs in its tree.
        Tree = "on a page of its table's tree",
        /// On a page that hangs in no tree.
        Loose = "on a page that hangs in no tree",
    }
}

impl Place {
    /// The place that these claims tell.
    #[must_use]
    pub fn of(claims: Claims) -> Self {
        const TOLD: [(Claim, Place); 11] = [
            (Claim::FromTempFile, Place::TempFile),
            (Claim::FromIndex, Place::Index),
            (Claim::PageHeaderLost, Place::Bare),
            (Claim::PointerStale, Place::Stale),
            (Claim::InFreeblock, Place::Freeblock),
            (Claim::InGap, Place::Gap),
            (Claim::EarlierVersion, Place::Earlier),
            (Claim::OldPage, Place::Old),
            (Claim::HeaderSolved, Place::Solved),
            (Claim::PointerLost, Place::Salvaged),
            (Claim::InTree, Place::Tree),
        ];
        let is_remnant = claims.has(Claim::OldPage) && claims.has(Claim::PointerLost);
        let told = TOLD.iter().find(|(claim, _)| claims.has(*claim));
        match told {
            Some((Claim::OldPage, _)) if is_remnant => Self::Remnant,
            Some((_, place)) => *place,
            None => Self::Loose,
        }
    }
}

/// One summand of a row's log-odds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Term {
    /// What the row is taken for, where it was found, and whether the file has damage.
    Setting(Taken, Place, bool),
    /// Some cells are lost, of a row that was found there; of rows that are gone, or of live ones.
    Partial(Place, bool),
    /// What is claimed of it.
    Claim(Claim, Rows),
    /// What that means, more or less, of a row that is gone and was found there.
    At(Claim, Place),
}

words! {
    /// The rows for which a claim's weight holds.
    Rows {
        /// Live rows.
        Live = "live rows",
        /// Rows that are gone.
        Gone = "gone rows",
        /// Rows of either kind some of whose cells are lost.
        Part = "rows in part",
    }
}

impl Rows {
    /// Which a row is one of.
    const fn of(full: bool, gone: bool) -> Self {
        match (full, gone) {
            (false, _) => Self::Part,
            (true, true) => Self::Gone,
            (true, false) => Self::Live,
        }
    }
}

impl Term {
    /// The terms of a row: its setting first.
    pub fn of(taken: Taken, full: bool, claims: Claims) -> impl Iterator<Item = Self> {
        let (gone, place) = (taken.is_gone(), Place::of(claims));
        let setting = Self::Setting(taken, place, claims.has(Claim::FileDamaged));
        let partial = (!full).then_some(Self::Partial(place, gone));
        let claims = claims.iter().filter(|claim| !IN_TAKEN.contains(claim));
        let of_claim = move |claim| {
            let at = (full && gone).then_some(Self::At(claim, place));
            std::iter::once(Self::Claim(claim, Rows::of(full, gone))).chain(at)
        };
        std::iter::once(setting).chain(partial).chain(claims.flat_map(of_claim))
    }

    /// It in words.
    #[must_use]
    pub fn text(self) -> String {
        match self {
            Self::Setting(taken, place, damaged) => {
                let file = if damaged { "a file with damage" } else { "a sound file" };
                format!("{}, read {}, in {file}", taken.text(), place.text())
            }
            Self::Partial(place, _) => format!("some of its cells are lost, {}", place.text()),
            Self::Claim(claim, _) => claim.text().to_owned(),
            Self::At(claim, place) => format!("{}, {}", claim.text(), place.text()),
        }
    }
}

/// Claims that [`Taken`] tells already.
const IN_TAKEN: [Claim; 3] = [Claim::LikelierGone, Claim::PerhapsDeleted, Claim::PerhapsSuperseded];

/// What the weights are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// These cells are of one row.
    Content,
    /// Given that, of this table.
    Placement,
    /// Given that, the row is live, or gone, as the state says.
    Standing,
    /// Given that it is gone, it was deleted, or replaced, as the state says.
    Fate,
}

impl Part {
    /// All of them, as their weights stand in [`Weights`].
    pub const ALL: [Self; 4] = [Self::Content, Self::Placement, Self::Standing, Self::Fate];
}

/// What a term adds to the log-odds of each [`Part`].
pub type Weights = [f64; 4];

/// Where the weights say `from`, so many of the rows were right as `to` says; between two of these on a straight line.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// The probability by the weights.
    pub from: f64,
    /// The calibrated one.
    pub to: f64,
}

/// A setting of which enough rows were seen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Setting {
    /// What the rows are taken for.
    pub taken: Taken,
    /// Where they were found.
    pub place: Place,
    /// Whether their files had damage.
    pub damaged: bool,
    /// Rows, so many of a case at most as count for a combination of claims.
    pub rows: u32,
    /// Cases that had such rows.
    pub cases: u32,
    /// The log-odds that everything else is added to.
    pub weights: Weights,
}

/// The numbers of a model.
#[derive(Clone, Copy, Debug)]
pub struct Model<'m> {
    /// Its name: what it was fitted from.
    pub name: &'m str,
    /// The settings that are calibrated.
    pub settings: &'m [Setting],
    /// What lost cells add, by place: of live rows, of rows that are gone.
    pub partial: &'m [(Place, [Weights; 2])],
    /// What each claim adds, for each of [`Rows`].
    pub claims: &'m [(Claim, [Weights; 3])],
    /// What some add besides, of rows that are gone and were found in one place.
    pub at: &'m [(Claim, Place, Weights)],
    /// The calibration of content, placement, and confidence: of live rows, of rows that are gone.
    pub steps: [[&'m [Step]; 2]; 3],
}

impl Model<'_> {
    /// What a term adds; `None` for a setting of which too few rows were seen.
    #[must_use]
    pub fn weights(&self, term: Term) -> Option<Weights> {
        let of = |both: &[Weights; 2], gone: bool| if gone { both[1] } else { both[0] };
        match term {
            Term::Setting(taken, place, damaged) => {
                let is_it = |s: &&Setting| (s.taken, s.place, s.damaged) == (taken, place, damaged);
                self.settings.iter().find(is_it).map(|setting| setting.weights)
            }
            Term::Partial(place, gone) => {
                let found = self.partial.iter().find(|(other, _)| *other == place);
                Some(found.map_or([0.0; 4], |(_, both)| of(both, gone)))
            }
            Term::Claim(claim, rows) => {
                let found = self.claims.iter().find(|(other, _)| *other == claim);
                Some(found.map_or([0.0; 4], |(_, all)| all[rows as usize]))
            }
            Term::At(claim, place) => {
                let found = self.at.iter().find(|(other, at, _)| (*other, *at) == (claim, place));
                Some(found.map_or([0.0; 4], |(.., weights)| *weights))
            }
        }
    }

    /// The log-odds of each part; `None` where too few rows like it were seen.
    #[must_use]
    pub fn log_odds(&self, taken: Taken, full: bool, claims: Claims) -> Option<Weights> {
        Term::of(taken, full, claims).try_fold([0.0; 4], |sums, term| {
            let weights = self.weights(term)?;
            Some(std::array::from_fn(|part| sums[part] + weights[part]))
        })
    }

    /// Weighs a row version. With six digits, as the numbers give no more.
    #[must_use]
    pub fn weigh(&self, taken: Taken, full: bool, claims: Claims) -> Confidence {
        let Some(odds) = self.log_odds(taken, full, claims) else { return Confidence::UNKNOWN };
        let [content, placement, standing, _] = odds.map(probability);
        let gone = usize::from(taken.is_gone());
        let [content, placement, confidence] =
            [(0, content), (1, placement), (2, content * placement * standing)].map(|(part, p)| {
                (calibrated(self.steps[part][gone], p) * 1e6).round().clamp(1.0, 999_999.0) / 1e6
            });
        Confidence { content, placement, confidence, calibrated: true }
    }

    /// The probability that a row that is gone was deleted, or replaced, as its state says.
    #[must_use]
    pub fn fate(&self, taken: Taken, full: bool, claims: Claims) -> f64 {
        self.log_odds(taken, full, claims).map_or(0.5, |odds| probability(odds[Part::Fate as usize]))
    }
}

/// The probability of log-odds.
#[must_use]
pub fn probability(log_odds: f64) -> f64 {
    1.0 / (1.0 + (-log_odds).exp())
}

/// What became of rows to which the weights gave a probability.
#[must_use]
pub fn calibrated(steps: &[Step], p: f64) -> f64 {
    let above = steps.partition_point(|step| step.from < p);
    match (above.checked_sub(1).and_then(|below| steps.get(below)), steps.get(above)) {
        (Some(below), Some(above)) => {
            let part = (p - below.from) / (above.from - below.from);
            below.to + part * (above.to - below.to)
        }
        (Some(end), None) | (None, Some(end)) => end.to,
        (None, None) => p,
    }
}

#[cfg(test)]
mod tests {
    use super::{Model, Place, Setting, Step, Taken, calibrated};
    use crate::confidence::MODEL;
    use crate::model::State;
    use mudlark_parsers::claim::{Claim, Claims};

    const WEIGHTS: [f64; 4] = [3.0, 4.0, 2.0, 1.0];

    fn model<'m>(settings: &'m [Setting], claims: &'m [(Claim, [[f64; 4]; 3])]) -> Model<'m> {
        Model { name: "a test", settings, partial: &[], claims, at: &[], steps: [[&[]; 2]; 3] }
    }

    fn freeblock() -> Setting {
        let (taken, place) = (Taken::Deleted, Place::Freeblock);
        Setting { taken, place, damaged: false, rows: 100, cases: 10, weights: WEIGHTS }
    }

    #[test]
    fn a_setting_that_was_not_seen_is_not_calibrated() {
        let settings = [freeblock()];
        let weighed = model(&settings, &[]).weigh(Taken::Deleted, true, Claims::NONE.with(Claim::InGap));
        assert!(!weighed.calibrated);
        assert_eq!((weighed.confidence, weighed.known(weighed.confidence)), (0.5, None));
    }

    #[test]
    fn log_odds_add_up_and_the_parts_are_multiplied() {
        let (settings, again) = ([freeblock()], [(Claim::SeenAgain, [[0.0; 4], [1.0; 4], [0.0; 4]])]);
        let claims = Claims::NONE.with(Claim::InFreeblock).with(Claim::SeenAgain);
        let weighed = model(&settings, &again).weigh(Taken::Deleted, true, claims);
        let p = |odds: f64| 1.0 / (1.0 + (-odds).exp());
        assert!((weighed.content - p(4.0)).abs() < 1e-6, "{weighed:?}");
        assert!((weighed.confidence - p(4.0) * p(5.0) * p(3.0)).abs() < 1e-6, "{weighed:?}");
    }

    #[test]
    fn what_a_row_is_taken_for_is_kept_when_its_state_is_not_told() {
        let claims = Claims::NONE.with(Claim::PerhapsSuperseded);
        assert_eq!(Taken::of(State::Unknown, claims), Taken::Superseded);
        assert_eq!(Taken::of(State::Deleted, Claims::NONE.with(Claim::LikelierGone)), Taken::LikelierGone);
        assert_eq!(Taken::of(State::Later, Claims::NONE), Taken::Superseded);
    }

    #[test]
    fn steps_are_joined_by_straight_lines_and_end_level() {
        let steps = [Step { from: 0.2, to: 0.1 }, Step { from: 0.6, to: 0.5 }];
        let numbers = [0.0, 0.2, 0.4, 0.6, 1.0].map(|p| calibrated(&steps, p));
        assert!(numbers.iter().zip([0.1, 0.1, 0.3, 0.5, 0.5]).all(|(a, b)| (a - b).abs() < 1e-9));
        assert_eq!(calibrated(&[], 0.7), 0.7);
    }

    #[test]
    fn independent_evidence_that_agrees_never_lowers_content() {
        for (claim, weights) in MODEL.claims {
            if matches!(claim, Claim::IndexAgrees | Claim::SeenAgain) {
                assert!(weights.iter().all(|weights| weights[0] >= 0.0), "{claim:?} {weights:?}");
            }
        }
        for (claim, place, weights) in MODEL.at {
            if matches!(claim, Claim::IndexAgrees | Claim::SeenAgain) {
                assert!(weights[0] >= 0.0, "{claim:?} {place:?} {weights:?}");
            }
        }
        let rising = |steps: &[Step]| steps.is_sorted_by(|a, b| a.from < b.from && a.to <= b.to);
        assert!(MODEL.steps.iter().flatten().all(|steps| !steps.is_empty() && rising(steps)));
    }
}
