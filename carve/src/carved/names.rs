//! Names of files that are named after the image and their place in it.

use crate::model::{Part, PartRole};

/// The name of each part: `IMAGE@0x1a2000.db`; logs and journals bear the name of their database where that is known.
#[must_use]
pub fn names(image: &str, parts: &[Part]) -> Vec<String> {
    let image = plain(image);
    let own = |part: &Part| format!("{image}@{:#x}", part.place);
    let database = |part: &Part| own(part.of.and_then(|of| parts.get(of)).unwrap_or(part));
    let name = |part: &Part| match part.role {
        PartRole::Database => format!("{}.db", own(part)),
        PartRole::Log => format!("{}.db-wal", database(part)),
        PartRole::Journal => format!("{}.db-journal", database(part)),
        PartRole::Orphans => format!("{image}@orphans-{}.pages", part.page_size),
    };
    let mut names: Vec<String> = Vec::with_capacity(parts.len());
    for part in parts {
        let mut wanted = name(part);
        // A second log of one database stands under its own place.
        if names.contains(&wanted) {
            wanted = name(&Part { of: None, ..part.clone() });
        }
        while names.contains(&wanted) {
            wanted.push('_');
        }
        names.push(wanted);
    }
    names
}

/// A file's name as one part of a path.
fn plain(name: &str) -> String {
    let kept = |c: char| if c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | '@') { c } else { '_' };
    let name: String = name.chars().map(kept).collect();
    name.trim_start_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::names;
    use crate::model::{Part, PartRole, Standing};

    fn part(role: PartRole, place: u64, of: Option<usize>) -> Part {
        Part {
            store: "sqlite",
            role,
            what: String::new(),
            place,
            length: 0,
            page_size: 512,
            extents: Vec::new(),
            head: Vec::new(),
            standing: Standing::Intact,
            reasons: Vec::new(),
            alternatives: Vec::new(),
            interchangeable: Vec::new(),
            guessed: Vec::new(),
            of,
        }
    }

    #[test]
    fn a_log_stands_beside_its_database_and_a_second_one_under_its_own_place() {
        let parts = [
            part(PartRole::Database, 0x1a2000, None),
            part(PartRole::Log, 0x2000, Some(0)),
            part(PartRole::Log, 0x8000, Some(0)),
            part(PartRole::Journal, 0x9000, None),
        ];
        let expected = [
            "a_disk.img@0x1a2000.db",
            "a_disk.img@0x1a2000.db-wal",
            "a_disk.img@0x8000.db-wal",
            "a_disk.img@0x9000.db-journal",
        ];
        assert_eq!(names("../a disk.img".trim_start_matches("../"), &parts), expected);
    }
}
