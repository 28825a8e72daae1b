//! How candidates are read, by the names that outputs have for it.

/// How a row that may be gone was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Method {
    Freeblock,
    Gap,
    FreedPage,
    BarePage,
    EarlierPage,
    StatementJournal,
    SpilledRecord,
    TempPage,
    IndexEntry,
}

impl Method {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Freeblock => "freeblock",
            Self::Gap => "gap",
            Self::FreedPage => "freed_page",
            Self::BarePage => "bare_page",
            Self::EarlierPage => "earlier_page",
            Self::StatementJournal => "statement_journal",
            Self::SpilledRecord => "spilled_record",
            Self::TempPage => "temp_page",
            Self::IndexEntry => "index_entry",
        }
    }
}
