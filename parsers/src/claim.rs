//! Claims: facts for or against a row. They never say how sure to be.

macro_rules! claims {
    ($($(#[$doc:meta])* $name:ident = $bit:literal, $text:literal;)*) => {
        /// One fact for or against a row version.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Claim { $($(#[$doc])* $name = $bit,)* }

        impl Claim {
            /// Every claim there is.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The claim in words, as a report shows it.
            #[must_use]
            pub const fn text(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

claims! {
    /// The unit hangs in its table's tree, from the root down.
    InTree = 0, "the page hangs in its table's tree";
    /// The tree was found without a schema that names its root.
    TreeWithoutName = 1, "the tree's table has no surviving name";
    /// The page's own tree pointers are lost; key range and shape place it.
    PlacedByKeys = 2, "placed by its key range in a gap of the tree";
    /// Shape alone places the page.
    PlacedByShape = 3, "placed by the shape of its rows";
    /// A pointer map names the parent.
    PlacedByPointerMap = 4, "placed by the pointer map";
    /// Every byte of the page is accounted for.
    PageSound = 5, "every byte of the page is accounted for";
    /// The page has damage.
    PageDamaged = 6, "the page has damage";
    /// The pointer to this cell is lost; it was found by its own bytes.
    PointerLost = 7, "found by its own bytes, its cell pointer is lost";
    /// The page's header is lost.
    PageHeaderLost = 8, "the page's header is lost";
    /// The record's header was solved from what surrounds it.
    HeaderSolved = 9, "the record's header was damaged and was solved";
    /// The row continues in an overflow chain that is whole.
    ChainWhole = 10, "the overflow chain is whole";
    /// A part of the overflow chain is lost.
    ChainBroken = 11, "the overflow chain is broken";
    /// A link of the chain disagrees with the payload's length.
    ChainDoubtful = 12, "a link of the overflow chain disagrees with the length of the row";
    /// An index holds the same cells and row id.
    IndexAgrees = 13, "an index holds the same cells";
    /// An index holds other cells for this row id.
    IndexDisagrees = 14, "an index holds other cells for this row";
    /// A whole index lacks this row.
    IndexLacks = 15, "an index that is whole lacks this row";
    /// Read from an index entry, or from a record like one in a temp file: only some columns are known.
    FromIndex = 16, "read from an index entry";
    /// A text cell is not valid in the store's encoding.
    TextInvalid = 17, "a text cell is not valid in its encoding";
    /// A cell's type is one that its column's affinity never stores.
    TypeUnlikely = 18, "a cell's type does not fit its column";
    /// The row's key is out of order on its page.
    KeyOutOfOrder = 19, "the row id is out of order on its page";
    /// Another row of the table has the same key.
    KeyContested = 20, "another row has the same key";
    /// The file has damage elsewhere.
    FileDamaged = 21, "the file has damage";
    /// Cells come from the column's default.
    DefaultUsed = 22, "columns added later take their default";
    /// The page is free, or another took its place; the row's own page is lost.
    OldPage = 24, "read from a freed or replaced page: the page that followed it is lost";
    /// The page is an earlier version, in a log, a journal or a temp file.
    EarlierVersion = 25, "read from an earlier version of a page, in a log or a journal";
    /// Some of the old rows for these lost keys were deleted: there are more of them than lost cells.
    Crowded = 26, "one of more old rows than can be missing";
    /// Read from a freeblock.
    InFreeblock = 27, "read from a freeblock";
    /// Read from the gap between cell pointers and cells.
    InGap = 28, "read from the gap of a page";
    /// The first four bytes of the cell were overwritten when it was freed, and follow from the rest.
    HeadRebuilt = 30, "the first four bytes were overwritten and follow from the rest";
    /// The first serial type was among them.
    FirstSolved = 31, "the type of the first column follows from the lengths of the others";
    /// The end of the cell was overwritten.
    TailLost = 32, "the end was overwritten";
    /// The row id was overwritten and follows from its neighbours.
    RowidInferred = 33, "the row id follows from those beside it";
    /// The row id is not known.
    RowidUnknown = 34, "the row id is lost";
    /// The page was written by a transaction that did not commit.
    Uncommitted = 35, "written by a transaction that did not commit";
    /// The same cells were found at another place too.
    SeenAgain = 36, "the same cells stand at another place too";
    /// Begin and end are those of free space, or of the cells beside it.
    Fitted = 37, "it fills the place between those beside it";
    /// It begins where a freeblock does or did.
    AtHead = 38, "it begins at the head of a freeblock";
    /// It is one of several cells without a gap between them.
    InRun = 39, "it is one of several that lie side by side";
    /// A value is far from those of the table's other rows.
    ValueUnlikely = 40, "a value is unlike those of the table's other rows";
    /// Too few bytes of cells to tell a row from others, and its row id is lost.
    CellsCommon = 42, "its cells are so few and short that other rows may have the same";
    /// Its place says that it was deleted, which of such rows fewer than half were.
    PerhapsDeleted = 43, "it may have been deleted, or replaced";
    /// Its place says that it was replaced by a later version, which of such rows fewer than half were.
    PerhapsSuperseded = 44, "it may have been replaced, or deleted";
    /// Read from a temp file: a statement journal, a temp database, what a sorter spilled.
    FromTempFile = 45, "read from a temp file";
    /// A pointer leads to it that its page kept when it was cleared, or became a trunk.
    PointerStale = 46, "a cell pointer of before the page was cleared leads to it";
    /// Its row id is lost, and none that it may have had is free: it was replaced rather than deleted.
    NoIdFree = 47, "its row id is lost, and every id up to the last is a live row's";
    /// The page is one of an index or of a table without row ids, and nothing tells which.
    PerhapsEntry = 48, "it may be an index entry, and lack columns";
    /// What damage may hide: no live row has its key, and the page that would tell is damaged, or may be lost.
    LeafDoubtful = 49, "the page on which a live row of its key would stand is damaged, or may be lost";
    /// It differs from the live row in single bits or a type of the same length, as damage leaves it and updates don't.
    NearlyLive = 50, "it differs from the live row by no more than single bits";
    /// The same in a file without other damage: rather an update, unless bits flipped where nothing tells.
    NearlyLiveSound = 29, "it differs from the live row by no more than single bits, in a file that seems sound";
    /// Some text of the table that was looked at is not valid in the store's encoding.
    TextsGarbled = 51, "texts of other rows of the table are not valid in their encoding";
    /// So many of the texts are not valid that others may be damaged without a trace.
    TextsOftenGarbled = 63, "texts of one in 32 other rows of the table or more are not valid in their encoding";
    /// Its last bytes are those of a live row, which has other cells in them: they came there later.
    EndShared = 52, "its last bytes are those of a live row, where they are other cells";
    /// It ends in the same cells as one live row that begins otherwise, in a table hardly any two rows of which end alike.
    EndOfAnother = 62, "its last cells are those of a live row that is another, where hardly any two rows end alike";
    /// The live row of its key was read from a page with damage, and may be this one.
    LiveDoubtful = 53, "the live row of its key stands on a page with damage";
    /// Most rows of its page have kinds of values that no other row has: the page may have been another table's.
    PageStrange = 54, "most rows of its page have kinds of values that no other row of the table has";
    /// Nearly all rows of its old place whose own page can be read are live as they stand there.
    OthersCurrent = 55, "nearly all other rows of its old place are live as they stand there";
    /// Fewer than half of the rows of its old place whose own page can be read are live as they stand there.
    OthersOutdated = 56, "most other rows of its old place were changed or deleted since";
    /// The link to the rest of the chain is lost, and one chain to which nothing leads is that rest.
    ChainRejoined = 57, "the rest of the overflow chain was found again by its length and content";
    /// A lost sector took a part of it, which an older copy has that is the same in all else.
    SectorRestored = 58, "what a lost sector took was filled from an older copy that agrees in the rest";
    /// Bits of it were flipped, and an older copy that an index, its text or a third copy vouches for has it as it was.
    BitsRestored = 69, "flipped bits were set right by an older copy that something vouches for";
    /// Of a hot journal records are lost, and its page is not among those that it puts back.
    RecordsLost = 59, "an open transaction may have written it: records of the hot journal are lost";
    /// A cell has a kind of value that no row of the table that was looked at, of enough, has in its column.
    KindNew = 60, "a value is of a kind that no other row of the table has in its column";
    /// Of the rows of its old place whose own page can be read more than half are live as they stand there, but not nearly all.
    OthersMixed = 61, "some of the other rows of its old place were changed or deleted since";
    /// The log frame from which it was read has its checksum: no bit of it changed.
    ChecksumValid = 23, "read from a frame of the log whose checksum holds";
    /// By the texts of the table that are not valid, of twenty rows of its length one or more has a damaged byte.
    DamagePossible = 64, "as often as texts of other rows are broken, one in 20 rows as long as it has damaged bytes";
    /// The same of every other row.
    DamageLikely = 65, "as often as texts of other rows are broken, one in two rows as long as it has damaged bytes";
    /// The rows of its page are by far more like those of another table than like the others of this one.
    LikeAnother = 66, "the rows of its page are more like those of another table";
    /// The first type, which follows from lengths, is that of nearly all rows, of those that it could be as well.
    FirstUsual = 67, "the type of the first column that follows is the one that nearly all rows have";
    /// The first two types follow from their length together, and others are about as likely.
    PairDoubtful = 68, "where its first column ends is one of several places that are about as likely";
    /// Read where rows of a lost page may be, it is more likely one that was deleted.
    LikelierGone = 41, "of rows that are read this way more were deleted than are live";
}

/// A set of claims.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Claims(u128);

impl Claims {
    /// The set without a claim.
    pub const NONE: Self = Self(0);

    /// The set with these bits, one for each claim's number; bits without a claim are dropped.
    #[must_use]
    pub fn from_bits(bits: u128) -> Self {
        let all = Claim::ALL.iter().copied();
        all.fold(Self::NONE, |set, claim| set.with_if(bits >> claim as u8 & 1 == 1, claim))
    }

    /// The set as bits, one for each claim's number.
    #[must_use]
    pub const fn bits(self) -> u128 {
        self.0
    }

    /// The set as two columns of a database keep it: those claims below number 64, and the others.
    #[must_use]
    pub const fn columns(self) -> [i64; 2] {
        [self.0 as i64, (self.0 >> 64) as i64]
    }

    /// The set that two columns keep.
    #[must_use]
    pub fn from_columns([first, more]: [i64; 2]) -> Self {
        Self::from_bits(u128::from(first as u64) | u128::from(more as u64) << 64)
    }

    /// The same set, with `claim`.
    #[must_use]
    pub const fn with(self, claim: Claim) -> Self {
        Self(self.0 | 1 << claim as u8)
    }

    /// The same set, with `claim` when `holds`.
    #[must_use]
    pub const fn with_if(self, holds: bool, claim: Claim) -> Self {
        if holds { self.with(claim) } else { self }
    }

    /// The same set, without `claim`.
    #[must_use]
    pub const fn without(self, claim: Claim) -> Self {
        Self(self.0 & !(1 << claim as u8))
    }

    /// The claims of both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether `claim` is in the set.
    #[must_use]
    pub const fn has(self, claim: Claim) -> bool {
        self.0 & 1 << claim as u8 != 0
    }

    /// The claims in the set, in order.
    pub fn iter(self) -> impl Iterator<Item = Claim> {
        Claim::ALL.iter().copied().filter(move |claim| self.has(*claim))
    }
}
