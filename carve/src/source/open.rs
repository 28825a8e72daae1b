//! Pages of a file found in an image that may lie elsewhere as well, and how sure what stands on them is.

use super::pieces::Pieces;
use crate::model::Part;
use memchr::memmem;
use std::collections::BTreeMap;

/// Pages that may lie elsewhere and are read all the same.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Open {
    page_size: u64,
    /// By the offset in the file: other places in the image, each with how likely it is against the chosen one.
    others: BTreeMap<u64, Vec<(u64, f64)>>,
}

impl Open {
    /// Those of a file.
    pub(super) fn of(part: &Part) -> Self {
        let mut others: BTreeMap<u64, Vec<(u64, f64)>> =
            part.guessed.iter().map(|at| (*at, Vec::new())).collect();
        for other in &part.alternatives {
            if let Some(places) = others.get_mut(&other.at) {
                places.push((other.offset, other.weight));
            }
        }
        let pieces = Pieces::new(&part.extents, part.page_size);
        for pages in &part.interchangeable {
            for at in &pages.at {
                let Some(places) = others.get_mut(at) else { continue };
                let own = pieces.place(*at);
                let further = pages.offsets.iter().filter(|offset| Some(**offset) != own);
                places.extend(further.map(|offset| (*offset, 1.0 - pages.weight())));
            }
        }
        Self { page_size: u64::from(part.page_size), others }
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.others.is_empty()
    }

    /// Whether the page at an offset of the file is one.
    pub(super) fn has(&self, at: u64) -> bool {
        self.others.contains_key(&at)
    }

    /// How likely these bytes, which lie at an offset of the file, are of it, against the likeliest other place of their page: one that
    /// holds the same bytes speaks for them as well.
    pub(super) fn share(&self, image: &[u8], at: u64, bytes: &[u8]) -> f64 {
        let page = at - at % self.page_size.max(1);
        let Some(others) = self.others.get(&page) else { return 1.0 };
        let finder = memmem::Finder::new(bytes);
        let lacks = |offset: u64| {
            let from = usize::try_from(offset).unwrap_or(usize::MAX);
            let to = from.saturating_add(self.page_size as usize).min(image.len());
            image.get(from..to).is_none_or(|page| finder.find(page).is_none())
        };
        // The weights are those of one place against another, and of many that are no better than one most are other pages'.
        let likeliest = others.iter().filter(|(offset, _)| lacks(*offset)).map(|(_, weight)| *weight);
        1.0 - likeliest.fold(0.0, f64::max)
    }
}

#[cfg(test)]
mod tests {
    use super::Open;
    use crate::model::{Alternative, Extent, Part, PartRole, Standing};

    #[test]
    fn a_row_that_stands_in_all_places_of_its_page_is_sure_and_others_are_as_sure_as_the_place() {
        let mut image = vec![0; 2048];
        image[10..14].copy_from_slice(b"same");
        image[20..24].copy_from_slice(b"mine");
        image[1044..1048].copy_from_slice(b"same");
        let part = Part {
            store: "sqlite",
            role: PartRole::Database,
            what: String::new(),
            place: 0,
            length: 512,
            page_size: 512,
            extents: vec![Extent { at: 0, offset: Some(0), length: 512 }],
            head: Vec::new(),
            standing: Standing::Ambiguous,
            reasons: Vec::new(),
            alternatives: vec![Alternative { at: 0, offset: 1024, length: 512, weight: 0.25 }],
            interchangeable: Vec::new(),
            guessed: vec![0],
            of: None,
        };
        let open = Open::of(&part);
        assert!((open.share(&image, 10, b"same") - 1.0).abs() < 1e-9);
        assert!((open.share(&image, 20, b"mine") - 0.75).abs() < 1e-9);
        assert!((open.share(&image, 600, b"mine") - 1.0).abs() < 1e-9);
    }
}
