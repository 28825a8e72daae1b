//! The links of interior pages of tables whose header is lost.
//!
//! They are a page and a row id each, too little to show themselves: that the rows of the pages to which they lead lie
//! between the ids tells that they are links.

use mudlark_parsers::sqlite::geometry::Geometry;
use mudlark_parsers::sqlite::salvage;
use std::collections::HashMap;

/// A link of an interior page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Link {
    /// Where it lies on its page.
    pub at: u32,
    pub child: u32,
    /// The greatest row id behind it.
    pub key: i64,
}

/// The least and the greatest row id of pages.
pub(super) type Ranges = HashMap<u32, (i64, i64)>;

/// The most of what may be links that lie side by side on a page, in the order of their ids: SQLite lays them from the end of
/// the page on.
pub(super) fn side_by_side(page: &[u8], geometry: Geometry, pages: u32) -> Vec<Link> {
    let usable = (geometry.usable() as usize).min(page.len());
    // For each place the link that begins there, and how many there are with those behind it.
    let mut count: Vec<usize> = vec![0; usable + 1];
    let mut best = (0, 0);
    for at in (0..usable).rev() {
        let Some((link, end)) = link_at(page, at, pages).filter(|(_, end)| *end <= usable) else { continue };
        let goes_on = link_at(page, end, pages).is_some_and(|(before, _)| before.key < link.key);
        let this = 1 + count.get(end).copied().filter(|_| goes_on).unwrap_or(0);
        if let Some(place) = count.get_mut(at) {
            *place = this;
        }
        best = best.max((this, at));
    }
    let (mut left, mut at) = best;
    let mut links = Vec::with_capacity(left);
    while let Some((link, end)) = link_at(page, at, pages).filter(|_| left > 0) {
        links.push(link);
        (left, at) = (left - 1, end);
    }
    links.reverse();
    links
}

/// What may be a link at a place, and where it ends.
fn link_at(page: &[u8], at: usize, pages: u32) -> Option<(Link, usize)> {
    let (child, key, end) =
        salvage::strict_link(page, at).filter(|(child, ..)| (2..=pages).contains(child))?;
    Some((Link { at: at as u32, child, key: key as i64 }, end))
}

/// The run of links that the rows of most of the pages behind them bear out, and those of none contradict.
pub(super) fn borne_out<'l>(links: &'l [Link], ranges: &Ranges) -> &'l [Link] {
    let mut best: (usize, &[Link]) = (0, &[]);
    let (mut from, mut told, mut exact) = (0, 0, false);
    let mut before: Option<i64> = None;
    for (index, link) in links.iter().enumerate() {
        if let Some((first, last)) = ranges.get(&link.child) {
            if *last > link.key {
                (from, told, exact, before) = (index + 1, 0, false, None);
                continue;
            }
            if before.is_some_and(|before| *first <= before) {
                (from, told, exact) = (index, 0, false);
            }
            (told, exact) = (told + 1, exact || *last == link.key);
            if told > best.0 && (exact || told > 1) {
                best = (told, links.get(from..=index).unwrap_or_default());
            }
        }
        before = Some(link.key);
    }
    best.1
}

#[cfg(test)]
mod tests {
    use super::{Link, Ranges, borne_out, side_by_side};
    use mudlark_parsers::sqlite::geometry::Geometry;

    const PAGE: Geometry = Geometry { page_size: 512, reserved: 0 };

    /// A page that ends with two links, behind other bytes.
    fn page() -> Vec<u8> {
        let mut page = vec![0x55; 512];
        page[501..507].copy_from_slice(&[0, 0, 0, 9, 0x81, 0x48]);
        page[507..].copy_from_slice(&[0, 0, 0, 7, 100]);
        page
    }

    #[test]
    fn links_stand_in_the_order_of_their_ids() {
        let links = [Link { at: 507, child: 7, key: 100 }, Link { at: 501, child: 9, key: 200 }];
        assert_eq!(side_by_side(&page(), PAGE, 20), links);
    }

    #[test]
    fn rows_that_lie_elsewhere_contradict_a_link() {
        let links = side_by_side(&page(), PAGE, 20);
        let borne =
            |rows: [(i64, i64); 2]| borne_out(&links, &Ranges::from([(7, rows[0]), (9, rows[1])])).len();
        assert_eq!(borne([(1, 100), (101, 180)]), 2);
        assert_eq!(borne([(1, 100), (90, 180)]), 1);
        assert_eq!(borne([(1, 101), (102, 180)]), 0);
        assert_eq!(borne([(1, 90), (90, 180)]), 0);
    }
}
