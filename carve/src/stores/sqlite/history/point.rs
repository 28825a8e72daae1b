//! Points that a user names, and the states of a store that they are.

use super::commits::Commits;
use super::pages::{Pages, Seen};
use super::timeline;
use crate::error::Error;
use crate::model::{Point, Until};
use crate::source::{Source, SourceId};
use crate::stores::sqlite::belongs::Judged;
use crate::stores::sqlite::database::Roles;
use crate::stores::sqlite::detect;
use mudlark_parsers::sqlite::geometry::Geometry;
use mudlark_parsers::sqlite::wal;

/// Points that are named when there is none of the name that the user gives; a person reads no more.
const MOST_NAMED: usize = 4;

/// The states of a store that its log holds.
#[derive(Debug)]
pub struct States<'a> {
    sources: &'a [Source],
    pub pages: Pages<'a>,
    /// Where the pages of the later states are.
    pub log: SourceId,
}

/// Why a store can't be brought to a point.
pub fn refused(sources: &[Source], reason: String) -> Error {
    let path = sources.first().map(|source| source.path().to_owned()).unwrap_or_default();
    Error::Replay { path, reason }
}

impl<'a> States<'a> {
    /// The states that the log among the sources holds.
    ///
    /// # Errors
    /// When there is none, or none that belongs to the main file.
    pub fn of(sources: &'a [Source]) -> Result<Self, Error> {
        let refused = |reason: String| refused(sources, reason);
        let roles = Roles::of(sources);
        let bytes = |id: SourceId| sources.get(usize::from(id.0)).map_or(&[][..], Source::bytes);
        let (id, log) = match roles.log.map(|id| (id, wal::wal(bytes(id)))) {
            Some((id, Ok(log))) => (id, log),
            Some((_, Err(_))) => {
                return Err(refused("the header of its log is broken or missing".to_owned()));
            }
            None => return Err(refused("no write-ahead log: there is no point but `checkpoint`".to_owned())),
        };
        let detected = roles.main.and_then(|main| detect::detect(bytes(main)));
        let geometry = detected
            .map_or(Geometry { page_size: log.header.page_size, reserved: 0 }, |found| found.geometry);
        if geometry.page_size != log.header.page_size {
            return Err(refused(format!(
                "the log is of another database: its pages are of {} bytes, those of the database of {}",
                log.header.page_size, geometry.page_size
            )));
        }
        let judged = Judged::of(sources, &roles, Some((id, &log))).filter(Judged::is_left_out);
        if let Some(told) = judged.as_ref().and_then(Judged::told) {
            return Err(refused(told));
        }
        let commits = Commits::of(&log);
        let pages = Pages::of(sources, roles.main, (id, &log), geometry, &commits);
        Ok(Self { sources, pages, log: id })
    }

    /// The state that a point is.
    ///
    /// # Errors
    /// When there is no such point, with the nearest ones; when a moment leaves several, with these.
    pub fn find(&self, until: Until) -> Result<u32, Error> {
        let refused = |reason| refused(self.sources, reason);
        let until = match until {
            Until::Time(micros) => timeline::read(self.sources)?.last_before(micros).map_err(refused)?,
            until => until,
        };
        let (before, last) = (self.pages.before_current(), self.pages.last());
        let state = match until {
            Until::Time(_) => None,
            Until::Checkpoint => Some(self.of_main().ok_or_else(|| {
                refused(
                    "checkpoint: the main file is none of the states that the log tells of, as amid a checkpoint"
                        .to_owned(),
                )
            })?),
            Until::Last => (last > before).then_some(last),
            Until::Point(Point::BeforeLog | Point::Commit(0)) => Some(before),
            Until::Point(point) => (1..=last).find(|state| self.pages.point(*state) == point),
        };
        state.ok_or_else(|| refused(self.no_such_point(until)))
    }

    /// The point that a state is.
    pub fn point(&self, state: u32) -> Point {
        if state == self.pages.before_current() { Point::Commit(0) } else { self.pages.point(state) }
    }

    /// The latest of the states that the main file is in, as it lies.
    fn of_main(&self) -> Option<u32> {
        let pages = &self.pages;
        // Of how many pages the main file holds what they are in a state: how many more than in the state before.
        let mut fits = vec![0_i64; pages.last() as usize + 2];
        let mut add = |state: u32, more: i64| {
            if let Some(count) = fits.get_mut(state as usize) {
                *count += more;
            }
        };
        let written = pages.all_written();
        for page in &written {
            let main = pages.in_main(*page).image().map(|image| image.bytes);
            let is_main = |state: u32| match pages.at(*page, state) {
                Seen::Image(image) => Some(image.bytes) == main,
                Seen::Absent => main.is_none(),
                Seen::Unknown => false,
            };
            let changed = pages.changes(*page);
            let ends = changed.iter().skip(1).copied().chain([pages.last() + 1]);
            for (from, to) in changed.iter().zip(ends).filter(|(from, _)| is_main(**from)) {
                add(*from, 1);
                add(to, -1);
            }
        }
        let (mut all, mut found) = (0, None);
        for (state, more) in (0..=pages.last()).zip(&fits) {
            all += more;
            found = if all == written.len() as i64 { Some(state) } else { found };
        }
        found
    }

    fn no_such_point(&self, until: Until) -> String {
        let pages = &self.pages;
        let name = |state: u32| pages.point(state).to_string();
        let held = match (pages.before_current(), pages.last()) {
            (_, 0) => "its log holds no commit".to_owned(),
            (before, last) if before == last => {
                "its log holds no commit of the current generation".to_owned()
            }
            (before, last) => {
                let older = if before > 0 {
                    format!(", and of an older one {} to {}", name(1), name(before))
                } else {
                    String::new()
                };
                format!("its log holds commit:0 to {}{older}", name(last))
            }
        };
        let nearest = self.nearest(until);
        let nearest = match nearest.as_slice() {
            [] => String::new(),
            [only] => format!("; the nearest is {only}"),
            [most @ .., last] => format!("; the nearest are {} and {last}", most.join(", ")),
        };
        format!("{until}: no such point; {held}{nearest}")
    }

    /// The points that are next to one that does not exist: those of its generation, by number, or of all.
    fn nearest(&self, until: Until) -> Vec<String> {
        let Until::Point(wanted) = until else { return Vec::new() };
        let number = |point: Point| match point {
            Point::BeforeLog => 0,
            Point::Commit(number) | Point::Older { commit: number, .. } => number,
        };
        let same = |point: &Point| match (point, wanted) {
            (Point::Older { salts, .. }, Point::Older { salts: wanted, .. }) => *salts == wanted,
            (Point::BeforeLog | Point::Commit(_), Point::BeforeLog | Point::Commit(_)) => true,
            _ => false,
        };
        let all: Vec<Point> = (0..=self.pages.last())
            .map(|state| self.point(state))
            .filter(|point| *point != Point::BeforeLog)
            .collect();
        let mut near: Vec<Point> = all.iter().copied().filter(same).collect();
        if near.is_empty() {
            near = all;
        }
        near.sort_by_key(|point| (number(*point).abs_diff(number(wanted)), number(*point)));
        near.truncate(MOST_NAMED);
        near.sort_by_key(|point| number(*point));
        near.iter().map(ToString::to_string).collect()
    }
}
