//! Sectors of zeros in rows that are gone: what stood there was lost.

use super::super::survey::{LEAST_PART, Sectors};
use super::super::view::PageVersion;
use mudlark_parsers::bytes::all_zero;
use mudlark_parsers::sqlite::freed::FreedCell;
use mudlark_parsers::sqlite::page::Extent;
use mudlark_parsers::sqlite::serial::SerialKind;

/// The parts of a cell's payload on its page that lie in sectors of zeros.
pub(super) fn sectors(page: &PageVersion<'_>, freed: &FreedCell) -> Vec<Extent> {
    let (from, to) = (freed.cell.payload_at, freed.cell.payload_at.saturating_add(freed.cell.local));
    let sectors = Sectors::of_page_at(page.offset);
    let lost = |sector: u32| {
        let Extent { from: at, to: end } = sectors.extent(sector, page.bytes.len() as u32);
        let sector =
            page.bytes.get(at as usize..end as usize).filter(|part| part.len() >= LEAST_PART as usize)?;
        all_zero(sector).then_some(Extent { from: at.max(from), to: to.min(end) })
    };
    (sectors.of(from)..sectors.from(to)).filter_map(lost).collect()
}

/// Whether a cell has lost bytes that way. A BLOB may well hold zeros; text and numbers don't for a whole sector.
pub(super) fn has_lost(page: &PageVersion<'_>, freed: &FreedCell) -> bool {
    let lost = sectors(page, freed);
    let mut at = u64::from(freed.cell.payload_at) + u64::from(freed.header_len);
    !lost.is_empty()
        && freed.serials.iter().any(|serial| {
            let (from, to) = (at, at.saturating_add(serial.len()));
            at = to;
            let hit = |lost: &Extent| u64::from(lost.from).max(from) < u64::from(lost.to).min(to);
            serial.kind() != SerialKind::Blob && lost.iter().any(hit)
        })
}

#[cfg(test)]
mod tests {
    use super::super::super::view::PageVersion;
    use super::{has_lost, sectors};
    use crate::source::SourceId;
    use crate::stores::sqlite::gone::collect::whole;
    use mudlark_parsers::sqlite::geometry::Geometry;
    use mudlark_parsers::sqlite::page::{Extent, Page};

    /// A page of 2,048 bytes with one row, a value of 800 bytes `x` with this serial type, at 1,200.
    fn page(serial: [u8; 2]) -> Vec<u8> {
        let mut page = vec![0; 2048];
        page[..10].copy_from_slice(&[13, 0, 0, 0, 1, 0x04, 0xb0, 0, 0x04, 0xb0]);
        page[1200..1206].copy_from_slice(&[0x86, 0x23, 1, 3, serial[0], serial[1]]);
        page[1206..2006].fill(b'x');
        page
    }

    fn lost(page: &[u8]) -> (Vec<Extent>, bool) {
        let geometry = Geometry { page_size: 2048, reserved: 0 };
        let parsed = Page::parse(page, 2, geometry).expect("a page");
        let cell = parsed.cells().find_map(Result::ok).expect("a cell");
        let freed = whole(page, cell).expect("a record");
        let version = PageVersion {
            number: 2,
            bytes: page,
            source: SourceId(0),
            offset: 2048,
            commit: None,
            space: None,
            then: false,
        };
        (sectors(&version, &freed), has_lost(&version, &freed))
    }

    #[test]
    fn a_text_over_a_sector_of_zeros_has_lost_it_and_a_blob_may_hold_zeros() {
        // Serial types 1,613 and 1,612.
        let (mut text, mut blob) = (page([0x8c, 0x4d]), page([0x8c, 0x4c]));
        assert_eq!(lost(&text), (Vec::new(), false));
        text[1536..2048].fill(0);
        blob[1536..2048].fill(0);
        assert_eq!(lost(&text), (vec![Extent { from: 1536, to: 2006 }], true));
        assert_eq!(lost(&blob), (vec![Extent { from: 1536, to: 2006 }], false));
    }
}
