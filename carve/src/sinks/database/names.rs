//! Names in the output: a name that is taken gets a suffix.

use std::collections::HashSet;

/// The names that are taken; SQLite compares them without regard to ASCII case.
#[derive(Debug, Default)]
pub(super) struct Names {
    taken: HashSet<String>,
}

impl Names {
    /// Takes `wanted`, or the first `wanted_N` that is free. Names that SQLite or this program keeps for itself get
    /// an underscore first.
    pub(super) fn take(&mut self, wanted: &str) -> String {
        let lower = wanted.to_ascii_lowercase();
        let reserved = lower.starts_with("sqlite_") || lower.starts_with("mudlark_");
        let base = if reserved { format!("_{wanted}") } else { wanted.to_owned() };
        self.take_exactly(base)
    }

    /// Takes `base`, or the first `base_N` that is free.
    pub(super) fn take_exactly(&mut self, base: String) -> String {
        if self.taken.insert(base.to_ascii_lowercase()) {
            return base;
        }
        let mut number = 2_u64;
        loop {
            let name = format!("{base}_{number}");
            if self.taken.insert(name.to_ascii_lowercase()) {
                return name;
            }
            number += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Names;

    #[test]
    fn a_name_that_differs_in_case_only_is_taken() {
        let mut names = Names::default();
        assert_eq!(names.take("Id"), "Id");
        assert_eq!(names.take("id"), "id_2");
        assert_eq!(names.take("ID"), "ID_3");
    }

    #[test]
    fn names_that_sqlite_reserves_get_an_underscore() {
        let mut names = Names::default();
        assert_eq!(names.take("sqlite_sequence"), "_sqlite_sequence");
        assert_eq!(names.take("mudlark_version"), "_mudlark_version");
    }
}
