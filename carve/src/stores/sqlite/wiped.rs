//! Why nothing that was deleted comes back: what free space holds instead.

use super::database::Database;
use crate::words::grouped_count;
use mudlark_parsers::bytes::all_zero;
use mudlark_parsers::sqlite::freed::LOST;
use mudlark_parsers::sqlite::page::Page;

/// What the free space of a database is made of.
#[derive(Debug, Default)]
struct FreeSpace {
    /// Trunks of the freelist.
    trunks: u64,
    /// The other free pages, and of these those that are all zeros.
    pages: u64,
    zero_pages: u64,
    /// Freeblocks, and of these those that are all zeros behind their heads.
    blocks: u64,
    zero_blocks: u64,
    /// Pages between whose pointers and cells something else than zeros lies.
    used_gaps: u64,
}

impl FreeSpace {
    fn of(database: &Database<'_>) -> Self {
        let mut space = Self::default();
        for (number, info) in database.survey.iter() {
            let is_free = database.free.pages.contains(&number);
            // Of a sound page the survey knows whether there is anything to count.
            if !is_free && info.sound && !info.spare {
                continue;
            }
            let Some(version) = database.view.page(number) else { continue };
            if is_free {
                if database.free.trunks.contains(&number) {
                    space.trunks += 1;
                } else {
                    space.pages += 1;
                    space.zero_pages += u64::from(all_zero(version.bytes));
                }
                continue;
            }
            // What lies beside the cells of a page that lost its header says nothing.
            let is_told = info.kind.is_some() && !info.rebuilt;
            if !is_told || database.forest.standing(number).is_none() {
                continue;
            }
            let Some(page) = Page::parse(version.bytes, number, database.view.geometry) else { continue };
            let bytes =
                |from: u32, to: u32| version.bytes.get(from as usize..to as usize).unwrap_or_default();
            for block in page.freeblocks().0 {
                space.blocks += 1;
                space.zero_blocks += u64::from(all_zero(bytes(block.from + LOST as u32, block.to)));
            }
            let gap = page.gap();
            space.used_gaps += u64::from(!all_zero(bytes(gap.from, gap.to)));
        }
        space
    }
}

/// What a user must know when no row that is gone was found, from the bytes of the free space.
pub(super) fn reasons(database: &Database<'_>) -> Vec<String> {
    let space = FreeSpace::of(database);
    let wiped = space.zero_pages + space.zero_blocks;
    let left = space.pages - space.zero_pages + space.blocks - space.zero_blocks;
    let mut reasons = Vec::new();
    if left > 0 {
        let what = "what free space holds are copies of live rows, or reads as no row of these tables";
        reasons.push(what.to_owned());
    } else if wiped > 0 {
        let pages = grouped_count(space.zero_pages, "free page");
        let blocks = grouped_count(space.zero_blocks, "freeblock");
        reasons.push(format!(
            "{pages} and {blocks} hold nothing but zeros: PRAGMA secure_delete wipes what is deleted, and so may \
             the application"
        ));
    } else if space.trunks > 0 {
        let trunks = grouped_count(space.trunks, "free page");
        reasons.push(format!(
            "{trunks} held the list of free pages itself, which overwrote what stood there; the rest reads as no row of \
             these tables"
        ));
    } else {
        let what = if database.is_damaged() {
            "of the pages that are left none is known to be free, and none has a freeblock; what is lost may have said \
             otherwise"
        } else {
            "no page is free and no page has a freeblock: nothing was deleted since the file was made, or since VACUUM \
             last wrote it anew"
        };
        reasons.push(what.to_owned());
        if space.used_gaps > 0 {
            reasons.push(
                "what lies between cells are copies of live rows, or reads as no row of these tables"
                    .to_owned(),
            );
        }
    }
    if database.auto_vacuum && space.pages + space.trunks == 0 {
        reasons.push(
            "auto_vacuum is on and cuts freed pages off the end of the file: in an image of the disk they may lie \
             behind it"
                .to_owned(),
        );
    }
    if database.roles.log.is_none() && database.roles.journal.is_none() {
        reasons.push("no log or journal lies beside the file that could hold earlier pages".to_owned());
    }
    reasons
}
