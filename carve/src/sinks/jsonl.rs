//! JSON lines: one object a row version. The form is stable; others' scripts rely on it.

use super::{Encode, Ending, Out, Sink, Story, Target, Weighed};
use crate::confidence::Confidence;
use crate::error::Error;
use crate::model::{Batch, Cell, Inferred, Lifetime, Partial, Point, Row, State, Transaction};
use crate::source::Span;
use mudlark_parsers::value::TextEncoding;
use serde_json::{Value as Json, json};
use std::io::{self, Write};

/// How every line begins, with the version of the form.
const OPENING: &[u8] = b"{\"format\":1,\"version\":";

/// What stands behind the page of evidence that no commit wrote, up to its first span.
const NO_COMMIT: &[u8] = b",\"commit\":null,\"spans\":[";

/// Integers beyond this are not exact in readers that hold numbers as doubles.
const EXACT: i64 = 1 << 53;

/// Writes row versions as JSON lines.
#[derive(Debug)]
pub struct JsonLines {
    out: Out,
}

impl JsonLines {
    /// Opens the output.
    ///
    /// # Errors
    /// When the file can't be made.
    pub fn open(target: &Target) -> Result<Self, Error> {
        Ok(Self { out: Out::open(target)? })
    }
}

impl Sink for JsonLines {
    fn encoder(&self) -> Option<Encode> {
        Some(encode)
    }

    fn begin(&mut self, _: &Story<'_>) -> Result<(), Error> {
        Ok(())
    }

    fn write(&mut self, _: &Story<'_>, _: &Weighed<'_>, encoded: &[u8], _: f64) -> Result<(), Error> {
        self.out.put(encoded)
    }

    fn finish(self: Box<Self>, _: &Story<'_>, _: &Ending) -> Result<(), Error> {
        self.out.finish()
    }
}

fn encode(story: &Story<'_>, weighed: &Weighed<'_>, least: f64, out: &mut Vec<u8>) {
    let mut encoder = Encoder::new(story, weighed, out);
    for index in 0..weighed.batch.rows.len() {
        encoder.row(index, least);
    }
}

/// One row as a line.
pub(crate) fn line(story: &Story<'_>, weighed: &Weighed<'_>, index: usize) -> Vec<u8> {
    let mut out = Vec::new();
    Encoder::new(story, weighed, &mut out).row(index, 0.0);
    out
}

/// What the head of a row is made of.
type HeadKey = (State, Transaction, Confidence);

/// Heads that are kept: rows that are gone have some dozens.
const MOST_HEADS: usize = 32;

struct Encoder<'e, 'a> {
    story: &'e Story<'e>,
    weighed: &'e Weighed<'a>,
    out: &'e mut Vec<u8>,
    /// What stands between the version and the state.
    table: Vec<u8>,
    /// The columns' names as JSON keys, each with a comma before it and a colon behind.
    keys: Vec<Vec<u8>>,
    names: Vec<&'e str>,
    /// What stands before a span's offset, by source.
    sources: Vec<Vec<u8>>,
    /// The same, of the first span of evidence without a commit, with what stands behind the page.
    first_sources: Vec<Vec<u8>>,
    /// The last heads and what they were made of.
    heads: Vec<(HeadKey, Vec<u8>)>,
    /// What was inferred alone of the last row of which anything was, and how it was written.
    last_inferred: Option<(Inferred, Vec<u8>)>,
    /// The last lifetime that stood alone, and how it was written.
    last_lifetime: Option<(Lifetime, Vec<u8>)>,
}

impl<'e, 'a> Encoder<'e, 'a> {
    fn new(story: &'e Story<'e>, weighed: &'e Weighed<'a>, out: &'e mut Vec<u8>) -> Self {
        let number = weighed.batch.table.0 as usize;
        let table = story.tables.get(number);
        let columns = table.map(|table| table.columns.as_slice()).unwrap_or_default();
        let namespace = table.and_then(|table| table.namespace.clone());
        let label = table.map(|table| table.label.clone());
        let text = format!(
            ",\"store\":{},\"instance\":{},\"namespace\":{},\"table\":{},\"schema\":{}",
            json!(story.store),
            json!(story.instance),
            json!(namespace),
            json!(label),
            number + 1
        );
        let key = |name: &str| format!(",{}:", json!(name)).into_bytes();
        let sources: Vec<Vec<u8>> = story.sources.iter().map(|s| source_text(s.name())).collect();
        // Most rows need less; the vector grows where they don't.
        out.reserve(weighed.batch.rows.len() * 1024);
        Self {
            story,
            weighed,
            out,
            table: text.into_bytes(),
            keys: columns.iter().map(|column| key(&column.name)).collect(),
            names: columns.iter().map(|column| column.name.as_str()).collect(),
            first_sources: sources.iter().map(|source| [NO_COMMIT, source].concat()).collect(),
            sources,
            heads: Vec::new(),
            last_inferred: None,
            last_lifetime: None,
        }
    }

    fn row(&mut self, index: usize, least: f64) {
        let batch = self.weighed.batch;
        let (Some(row), Some(weight)) = (batch.rows.get(index), self.weighed.weights.get(index)) else {
            return;
        };
        if weight.confidence < least {
            return;
        }
        self.out.extend_from_slice(OPENING);
        self.number(self.weighed.first_version + index as u64);
        self.head(row, weight);
        match row.rowid {
            Some(rowid) => int(rowid, self.out),
            None => self.out.extend_from_slice(b"null"),
        }
        self.values(row);
        match (batch.lifetimes_of(row), &self.last_lifetime) {
            // Most rows have one, which is that of the row before.
            ([only], Some((last, text))) if only == last => self.out.extend_from_slice(text),
            (lifetimes, _) => self.lifetimes(lifetimes),
        }
        self.evidence(row, index);
        self.out.extend_from_slice(b"}\n");
    }

    fn lifetimes(&mut self, lifetimes: &[Lifetime]) {
        let point = |point: Option<Point>| point.map(|point| point.to_string());
        let from = self.out.len();
        let each = lifetimes.iter();
        let each = each.map(|lifetime| json!({"from": point(lifetime.from), "to": point(lifetime.to)}));
        let each = Json::Array(each.collect());
        self.text(format_args!(",\"lifetimes\":{each}"));
        if let [only] = lifetimes {
            self.last_lifetime = Some((*only, self.out.get(from..).unwrap_or_default().to_vec()));
        }
    }

    fn text(&mut self, text: std::fmt::Arguments<'_>) {
        // Writing to a vector can't fail.
        let _ = self.out.write_fmt(text);
    }

    /// All that stands between the version and the row id: most rows of a batch share a few.
    fn head(&mut self, row: &Row, weight: &Confidence) {
        let key = (row.state, row.transaction, *weight);
        if let Some((_, text)) = self.heads.iter().find(|(other, _)| *other == key) {
            self.out.extend_from_slice(text);
            return;
        }
        // Six digits: the rows behind the numbers give no more.
        let digits = |p: f64| json!(weight.known(p).map(|p| (p * 1e6).round() / 1e6));
        let mut text = self.table.clone();
        // Writing to a vector can't fail.
        let _ = write!(
            text,
            ",\"state\":\"{}\",\"transaction\":\"{}\",\"confidence\":{},\"content\":{},\"placement\":{},\"rowid\":",
            row.state.name(),
            row.transaction.name(),
            digits(weight.confidence),
            digits(weight.content),
            digits(weight.placement)
        );
        self.out.extend_from_slice(&text);
        if self.heads.len() == MOST_HEADS {
            self.heads.clear();
        }
        self.heads.push((key, text));
    }

    fn values(&mut self, row: &Row) {
        let weighed = self.weighed;
        let batch = weighed.batch;
        self.out.extend_from_slice(b",\"values\":{");
        let cells = batch.cells_of(row);
        let mut first = true;
        let mut holes = false;
        for (number, cell) in cells.iter().enumerate() {
            if !cell.is_whole() {
                holes = true;
                continue;
            }
            if let Some(key) = self.keys.get(number) {
                self.out.extend_from_slice(key.get(usize::from(first)..).unwrap_or_default());
            }
            first = false;
            value(cell, batch.encoding, self.out);
        }
        if !holes {
            self.out.extend_from_slice(b"},\"missing\":[],\"partial\":{}");
            return;
        }
        let named = || cells.iter().zip(&self.names);
        let missing: Vec<&str> =
            named().filter(|(cell, _)| **cell == Cell::Missing).map(|(_, name)| *name).collect();
        let partial: serde_json::Map<String, Json> = named()
            .filter_map(|(cell, name)| match cell {
                Cell::Partial(partial) => Some(((*name).to_owned(), partial_json(partial, batch))),
                _ => None,
            })
            .collect();
        self.text(format_args!("}},\"missing\":{},\"partial\":{}", json!(missing), Json::Object(partial)));
    }

    fn evidence(&mut self, row: &Row, index: usize) {
        let weighed = self.weighed;
        let batch = weighed.batch;
        self.out.extend_from_slice(b",\"evidence\":[");
        for (number, evidence) in batch.evidence_of(row).iter().enumerate() {
            if number > 0 {
                self.out.push(b',');
            }
            self.out.extend_from_slice(b"{\"method\":\"");
            self.out.extend_from_slice(evidence.method.as_bytes());
            self.out.extend_from_slice(b"\",\"page\":");
            self.number_or_null(evidence.page);
            let spans = batch.spans_of(evidence);
            let source = |span: &Span| usize::from(span.source.0);
            let first = spans.first().and_then(|first| self.first_sources.get(source(first)));
            match (evidence.commit, first) {
                (None, Some(first)) => self.out.extend_from_slice(first),
                (commit, _) => {
                    self.out.extend_from_slice(b",\"commit\":");
                    self.number_or_null(commit);
                    self.out.extend_from_slice(b",\"spans\":[");
                    if let Some(first) = spans.first().and_then(|first| self.sources.get(source(first))) {
                        self.out.extend_from_slice(first);
                    }
                }
            }
            for (number, span) in spans.iter().enumerate() {
                if number > 0 {
                    self.out.push(b',');
                    if let Some(source) = self.sources.get(source(span)) {
                        self.out.extend_from_slice(source);
                    }
                }
                self.number(self.story.place(span));
                self.out.extend_from_slice(b",\"length\":");
                self.number(span.length);
                self.out.push(b'}');
            }
            self.out.push(b']');
            if number == 0 {
                self.inferred(index);
            }
            self.out.push(b'}');
        }
        self.out.push(b']');
    }

    fn inferred(&mut self, index: usize) {
        let weighed = self.weighed;
        let mut inferred = weighed.batch.inferred_of(index);
        let Some(first) = inferred.next() else { return };
        let second = inferred.next();
        if let Some((last, text)) = &self.last_inferred
            && second.is_none()
            && last == first
        {
            self.out.extend_from_slice(text);
            return;
        }
        let from = self.out.len();
        let list = [first].into_iter().chain(second).chain(inferred);
        let list = list.map(|cell| json!({"column": self.names.get(cell.column), "from": cell.from}));
        let list = Json::Array(list.collect());
        self.text(format_args!(",\"inferred\":{list}"));
        if second.is_none() {
            self.last_inferred = Some((first.clone(), self.out.get(from..).unwrap_or_default().to_vec()));
        }
    }

    fn number(&mut self, number: impl itoa::Integer) {
        integer(number, self.out);
    }

    fn number_or_null(&mut self, number: Option<impl itoa::Integer>) {
        match number {
            Some(number) => self.number(number),
            None => self.out.extend_from_slice(b"null"),
        }
    }
}

/// An integer of the evidence, as text where a double would not hold it.
#[inline]
pub(crate) fn int(value: i64, out: &mut Vec<u8>) {
    if (-EXACT..=EXACT).contains(&value) {
        integer(value, out);
    } else {
        // Writing to a vector can't fail.
        let _ = write!(out, "{{\"$int\":\"{value}\"}}");
    }
}

fn integer(number: impl itoa::Integer, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Adds text as a JSON string if its bytes stand there as they are: ASCII without quotes, backslashes and control
/// characters. Adds nothing if not.
///
/// Texts of many lengths come one after the other, so that what to do next can't be foreseen: few steps depend on it, and
/// short ones are checked and copied as two parts of a fixed length that may overlap.
#[inline]
fn plain_text(bytes: &[u8], out: &mut Vec<u8>) -> bool {
    let from = out.len();
    out.push(b'"');
    let end = out.len() + bytes.len();
    let odd = if bytes.len() > 32 {
        out.extend_from_slice(bytes);
        let (blocks, _) = bytes.as_chunks::<16>();
        // Without an early end, and in bytes, so that the compiler checks many at a time.
        let odd =
            |byte: u8| u8::from(byte.cast_signed() < 0x20) | u8::from(byte == b'"') | u8::from(byte == b'\\');
        let any = blocks.as_flattened().iter().fold(0, |any, byte| any | odd(*byte));
        u64::from(any) | bytes.last_chunk().map_or(0, odd_of)
    } else if let Some((first, last)) = bytes.first_chunk::<16>().zip(bytes.last_chunk::<16>()) {
        out.extend_from_slice(first);
        out.truncate(end - 16);
        out.extend_from_slice(last);
        odd_of(first) | odd_of(last)
    } else if let Some((first, last)) = bytes.first_chunk::<8>().zip(bytes.last_chunk::<8>()) {
        out.extend_from_slice(first);
        out.truncate(end - 8);
        out.extend_from_slice(last);
        odd(u64::from_ne_bytes(*first)) | odd(u64::from_ne_bytes(*last))
    } else {
        out.extend_from_slice(bytes);
        bytes.iter().fold(0, |any, byte| any | odd(u64::from(*byte) | SPACES << 8))
    };
    if odd == 0 {
        out.push(b'"');
    } else {
        out.truncate(from);
    }
    odd == 0
}

const SPACES: u64 = u64::from_ne_bytes([b' '; 8]);

/// Not zero if one of eight bytes is no ASCII, a control character, a quote or a backslash.
#[inline]
const fn odd(eight: u64) -> u64 {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    let (quote, backslash) = (eight ^ (ONES * 0x22), eight ^ (ONES * 0x5c));
    // A byte borrows from the next if it is less, which then may seem odd too.
    let less = eight.wrapping_sub(SPACES) & !eight;
    let quote = quote.wrapping_sub(ONES) & !quote;
    let backslash = backslash.wrapping_sub(ONES) & !backslash;
    (eight | less | quote | backslash) & (ONES << 7)
}

/// The same of sixteen.
#[inline]
fn odd_of(bytes: &[u8; 16]) -> u64 {
    let both = u128::from_ne_bytes(*bytes);
    odd(both as u64) | odd((both >> 64) as u64)
}

fn source_text(name: &str) -> Vec<u8> {
    format!("{{\"source\":{},\"offset\":", json!(name)).into_bytes()
}

/// Writes a whole cell.
pub(crate) fn value(cell: &Cell<'_>, encoding: TextEncoding, out: &mut Vec<u8>) {
    // Writing to a vector can't fail.
    let _ = match cell {
        Cell::Null | Cell::Missing | Cell::Partial(_) => out.write_all(b"null"),
        Cell::Int(value) => {
            int(*value, out);
            Ok(())
        }
        Cell::Real(real) if real.is_finite() => serde_json::to_writer(out, real).map_err(io::Error::from),
        Cell::Real(real) => {
            write!(out, "{{\"$real\":\"{}\"}}", if *real > 0.0 { "inf" } else { "-inf" })
        }
        Cell::Text(bytes) if encoding == TextEncoding::Utf8 && plain_text(bytes, out) => Ok(()),
        Cell::Text(bytes) => match encoding.decode(bytes) {
            Some(text) => serde_json::to_writer(out, &*text).map_err(io::Error::from),
            None => {
                let (hex, name) = (hex::encode(bytes), encoding.name());
                write!(out, "{{\"$text\":{{\"hex\":\"{hex}\",\"encoding\":\"{name}\"}}}}")
            }
        },
        Cell::Blob(bytes) => write!(out, "{{\"$hex\":\"{}\"}}", hex::encode(bytes)),
    };
}

/// A cell of which a part survives: its length, and the known ranges in hex, as text too where they are that.
pub(super) fn partial_json(partial: &Partial, batch: &Batch<'_>) -> Json {
    let known: Vec<Json> = partial
        .known
        .iter()
        .map(|(at, bytes)| {
            let mut range = json!({"offset": at, "length": bytes.len(), "hex": hex::encode(bytes)});
            if partial.text
                && let Some(text) = batch.encoding.decode(bytes)
                && let Some(object) = range.as_object_mut()
            {
                object.insert("text".to_owned(), json!(text));
            }
            range
        })
        .collect();
    json!({"length": partial.length, "type": if partial.text { "text" } else { "blob" }, "known": known})
}
