//! Values of cells, as a store holds them.

/// A value that borrows its bytes from the source.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// SQL NULL.
    Null,
    /// A signed integer of up to 64 bits.
    Int(i64),
    /// An IEEE 754 double.
    Real(f64),
    /// Text in the encoding of its store; not checked.
    Text(&'a [u8]),
    /// Bytes.
    Blob(&'a [u8]),
    /// The cell's bytes are gone, or can't be told from others'.
    Missing,
}

/// A value that owns its bytes.
#[derive(Clone, Debug, PartialEq)]
pub enum OwnedValue {
    /// SQL NULL.
    Null,
    /// A signed integer of up to 64 bits.
    Int(i64),
    /// An IEEE 754 double.
    Real(f64),
    /// Text, in UTF-8.
    Text(String),
    /// Bytes.
    Blob(Vec<u8>),
}

impl OwnedValue {
    /// The same value, borrowed.
    #[must_use]
    pub fn borrow(&self) -> Value<'_> {
        match self {
            Self::Null => Value::Null,
            Self::Int(v) => Value::Int(*v),
            Self::Real(v) => Value::Real(*v),
            Self::Text(v) => Value::Text(v.as_bytes()),
            Self::Blob(v) => Value::Blob(v),
        }
    }
}

/// How a store encodes text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum TextEncoding {
    /// UTF-8.
    #[default]
    Utf8,
    /// UTF-16, little-endian.
    Utf16le,
    /// UTF-16, big-endian.
    Utf16be,
}

impl TextEncoding {
    /// Every encoding.
    pub const ALL: [Self; 3] = [Self::Utf8, Self::Utf16le, Self::Utf16be];

    /// The name that SQLite's `PRAGMA encoding` uses.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Utf8 => "UTF-8",
            Self::Utf16le => "UTF-16le",
            Self::Utf16be => "UTF-16be",
        }
    }

    /// Decodes `bytes`; `None` when they are not valid in this encoding.
    #[must_use]
    pub fn decode(self, bytes: &[u8]) -> Option<std::borrow::Cow<'_, str>> {
        let Some(unit) = self.unit() else { return std::str::from_utf8(bytes).ok().map(Into::into) };
        let (pairs, rest) = bytes.as_chunks::<2>();
        if !rest.is_empty() {
            return None;
        }
        char::decode_utf16(pairs.iter().map(|pair| unit(*pair)))
            .collect::<Result<String, _>>()
            .ok()
            .map(Into::into)
    }

    /// Decodes `bytes` as far as they are valid in this encoding.
    #[must_use]
    pub fn decode_start(self, bytes: &[u8]) -> std::borrow::Cow<'_, str> {
        let Some(unit) = self.unit() else {
            return bytes.utf8_chunks().next().map(|chunk| chunk.valid()).unwrap_or_default().into();
        };
        let units = bytes.as_chunks::<2>().0.iter().map(|pair| unit(*pair));
        char::decode_utf16(units).map_while(Result::ok).collect::<String>().into()
    }

    /// Decodes `bytes`, with U+FFFD for what is not valid in this encoding.
    #[must_use]
    pub fn decode_lossy(self, bytes: &[u8]) -> String {
        let Some(unit) = self.unit() else { return String::from_utf8_lossy(bytes).into_owned() };
        let units = bytes.as_chunks::<2>().0.iter().map(|pair| unit(*pair));
        char::decode_utf16(units).map(|read| read.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
    }

    /// The bytes of `text` in this encoding.
    #[must_use]
    pub fn encode(self, text: &str) -> Vec<u8> {
        match self {
            Self::Utf8 => text.as_bytes().to_vec(),
            Self::Utf16le => text.encode_utf16().flat_map(u16::to_le_bytes).collect(),
            Self::Utf16be => text.encode_utf16().flat_map(u16::to_be_bytes).collect(),
        }
    }

    /// How two bytes make a unit of UTF-16.
    fn unit(self) -> Option<fn([u8; 2]) -> u16> {
        match self {
            Self::Utf8 => None,
            Self::Utf16le => Some(u16::from_le_bytes),
            Self::Utf16be => Some(u16::from_be_bytes),
        }
    }
}
