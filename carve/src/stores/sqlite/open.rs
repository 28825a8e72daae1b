//! Opening a database: sources to roles, roles to a view, the view to trees.

use super::adopt;
use super::altered;
use super::bare_width;
use super::before;
use super::belongs::Judged;
use super::below;
use super::catalogue::{self, Catalogue, TableDef};
use super::chains::Chained;
use super::chosen::Chosen;
use super::cleared;
use super::database::{Database, Output, Roles};
use super::detect::{self, Detected};
use super::entries;
use super::forest::{Forest, Ground, Object, Tree, fit_object};
use super::freelist;
use super::gone;
use super::layout::Layout;
use super::rejoined;
use super::seen_encoding::seen_encoding;
use super::shape::Fit;
use super::strays;
use super::survey::Survey;
use super::temp::Temp;
use super::untold::{self, Told};
use super::unused;
use super::view::{Later, View};
use crate::error::Error;
use crate::model::{Finding, IndexText, SchemaOrigin, SchemaText, Table, TableDdl};
use crate::progress::Progress;
use crate::source::{Source, SourceId};
use crate::stores::Options;
use mudlark_parsers::damage::Damage;
use mudlark_parsers::sqlite::geometry::Geometry;
use mudlark_parsers::sqlite::header::{self, Header};
use mudlark_parsers::sqlite::page::Page;
use mudlark_parsers::sqlite::wal::Wal;
use mudlark_parsers::sqlite::{journal, wal};
use mudlark_parsers::value::TextEncoding;
use std::collections::HashMap;

/// Earlier versions of pages whose rows are all kept, where only one row is asked for: they tell how much the rows of the
/// table have in common. The rows of so many pages of 4 KiB take half a gigabyte.
const MOST_KEPT: usize = 16_384;

/// Opens the database in `sources`, which are told apart by their content.
pub(super) fn open<'a>(
    sources: &'a [Source],
    options: &Options,
    progress: &dyn Progress,
) -> Result<Database<'a>, Error> {
    let mut findings = Vec::new();
    let mut roles = Roles::of(sources);
    let bytes = |id: SourceId| sources.get(usize::from(id.0)).map_or(&[][..], Source::bytes);
    let mut log = roles.log.map(|id| (id, wal::wal(bytes(id))));
    let judged =
        Judged::of(sources, &roles, log.as_ref().and_then(|(id, log)| Some((*id, log.as_ref().ok()?))));
    findings.extend(judged.as_ref().and_then(Judged::finding));
    if judged.as_ref().is_some_and(Judged::is_left_out) {
        // The main file is read alone.
        (roles.log, log) = (None, None);
    }
    let chosen = options.goal.map(|goal| Chosen::of(sources, goal)).transpose()?;
    let (mut view, detected) = view(sources, &roles, log.as_ref(), chosen.as_ref(), &mut findings)?;
    let of_use = |(id, _): &&(SourceId, _)| roles.main.is_some() && !bytes(*id).is_empty();
    let unused = log.as_ref().filter(of_use).and_then(|(id, log)| {
        let name = sources.get(usize::from(id.0)).map_or("the log", Source::name);
        unused::why(name, bytes(*id), log.as_ref(), Some(view.geometry.page_size))
    });
    let log = log.and_then(|(id, log)| Some((id, log.ok()?)));
    let log = log.filter(|(_, log)| log.header.page_size == view.geometry.page_size);
    progress.stage("reading pages", u64::from(view.last_held()) * u64::from(view.geometry.page_size));
    let mut survey = Survey::of(&view, &|bytes| progress.advance(bytes));
    // After a rollback or under a log the header of the view counts, not that of the main file.
    let header = view.page(1).and_then(|page| header::header(page.bytes).ok()).map(|(_, head)| head);
    let encoding = encoding((&view, &survey), header.as_ref(), &mut findings);
    // Earlier versions hold rows that are gone, and an older page 1 may still name the tables.
    add_old_versions(sources, &roles, log.as_ref(), chosen.as_ref(), &mut view, &mut survey);
    let mut catalogue = catalogue::read(&view, &survey, encoding, options.schema.as_deref());
    let auto_vacuum = header.is_none_or(|header| header.auto_vacuum()) && has_pointer_map(&view);
    let free = freelist::read(&view, &survey, header.as_ref(), auto_vacuum);
    let ground = Ground { view: &view, survey: &survey, catalogue: &catalogue, free: &free, auto_vacuum };
    let mut forest = Forest::grow(ground);
    adopt::adopt(&mut forest, ground);
    let standing = forest.trees.iter().filter(|tree| tree.object != Object::Stale);
    let placed: Vec<u32> = standing.flat_map(|tree| &tree.pages).copied().collect();
    let mut chained = Chained::from(&view, &survey, &placed);
    chained.rejoin(rejoined::find(&chained, &forest, ground, &placed, encoding));
    for tree in &forest.trees {
        if let Object::Table(table) = tree.object {
            let widest = tree.pages.iter().map(|page| survey.page(*page).columns).max();
            let widest = widest.map_or_else(|| bare_width::of_lost(&view, &survey, tree), usize::from);
            catalogue.widen(table, widest);
        }
    }
    altered::add_shapes(&mut catalogue, &mut forest, &view, &survey);
    let ground = Ground { view: &view, survey: &survey, catalogue: &catalogue, free: &free, auto_vacuum };
    let strays = strays::find(&forest, ground, &chained);
    let unnamed = entries::unnamed_indexes(&forest, ground);
    let outputs = outputs(&forest, ground, encoding, &unnamed);
    let mut database = Database {
        sources,
        roles,
        log,
        judged,
        lifetimes: Default::default(),
        last_transaction: Default::default(),
        chosen: chosen.as_ref().and_then(Chosen::state),
        asked: options.row.clone().filter(|_| view.old().len() > MOST_KEPT),
        notes: match chosen {
            Some(chosen) => chosen.into_notes(),
            None => (unused.into_iter().collect(), Vec::new()),
        },
        chained,
        view,
        survey,
        catalogue,
        free,
        auto_vacuum,
        forest,
        strays,
        detected,
        encoding,
        tables: outputs.iter().map(|output| output.table.clone()).collect(),
        outputs,
        findings,
        places: gone::Places::default(),
        streams: gone::Streams::default(),
        missing: Default::default(),
    };
    database.places = gone::places(&database);
    if add_strangers(&mut database) {
        database.places = gone::places(&database);
    }
    database.leave_to_others();
    for (tree, page) in before::moved(&database).into_iter().chain(below(&database)) {
        database.places.add_before(tree, page);
    }
    add_predecessor(&mut database);
    add_streams(&mut database);
    Ok(database)
}

/// Pages below whose cells rows of another table lie, each with that table's tree.
fn below(database: &Database<'_>) -> Vec<(usize, u32)> {
    let def = |output: &Output| database.catalogue.tables.get(output.def?).filter(|def| !def.without_rowid());
    let tables: Vec<(usize, &TableDef)> =
        database.outputs.iter().filter_map(|output| Some((output.tree, def(output)?))).collect();
    below::find(database.ground(), database.forest.trees.iter().enumerate(), &tables)
}

/// Adds a table without a name for rows that stood on a page before its table did.
fn add_predecessor(database: &mut Database<'_>) {
    let found = before::find(database).filter(|(_, page)| !database.places.is_older_below(*page));
    let Some((number, page)) = found else { return };
    if let Some(tree) = database.places.former_owner(database, page) {
        if database.outputs.get(number).is_some_and(|output| output.tree != tree) {
            database.places.add_before(tree, page);
        }
        return;
    }
    let Some((def, columns)) =
        database.outputs.get(number).map(|output| (output.def, output.layout.columns.len()))
    else {
        return;
    };
    let tree = database.forest.add_empty(true);
    add_lost_table(database, columns, tree, def);
    database.places.add_before(tree, page);
}

/// Adds a table without a name; `def` is one of the same shape.
fn add_lost_table(database: &mut Database<'_>, columns: usize, tree: usize, def: Option<usize>) {
    let lost = database.tables.iter().filter(|table| table.name.is_none()).count() + 1;
    let layout = Layout::unnamed(columns, database.encoding);
    let table = lost_table(lost, &layout);
    database.tables.push(table.clone());
    database.outputs.push(Output { table, tree, def, layout, unnamed_indexes: Vec::new(), told: Told::Rows });
}

/// Adds tables for rows outside of the trees that fit none of the others; whether there are any.
fn add_strangers(database: &mut Database<'_>) -> bool {
    let widths = database.places.strange_widths();
    for columns in &widths {
        let tree = database.forest.add_empty(true);
        add_lost_table(database, *columns, tree, None);
    }
    let keyed = database.places.unclaimed_widths();
    for columns in &keyed {
        let tree = database.forest.add_empty(false);
        add_lost_table(database, *columns, tree, None);
    }
    !widths.is_empty() || !keyed.is_empty()
}

/// Sorts what temp files hold by table, and adds tables without a name for what fits none.
fn add_streams(database: &mut Database<'_>) {
    if database.roles.temps.is_empty() {
        return;
    }
    let mut streams = gone::streams(database);
    for columns in streams.lost_widths() {
        let tree = database.forest.add_empty(true);
        add_lost_table(database, columns, tree, None);
        streams.take_lost(columns, tree);
    }
    database.streams = streams;
}

/// Numbers the old versions of pages that logs and journals hold.
fn add_old_versions(
    sources: &[Source],
    roles: &Roles,
    log: Option<&(SourceId, Wal)>,
    chosen: Option<&Chosen<'_>>,
    view: &mut View<'_>,
    survey: &mut Survey,
) {
    let bytes = |id: SourceId| sources.get(usize::from(id.0)).map_or(&[][..], Source::bytes);
    // A journal holds what was before its last transaction, and what longer ones before it left.
    let page_size = view.geometry.page_size;
    let records = roles.journal.map(|id| (id, journal::old_records(bytes(id), page_size)));
    view.add_old(
        log.map(|(id, log)| (*id, log)),
        records.as_ref().map(|(id, records)| (*id, records.as_slice())),
        &Later {
            frame: &|frame| chosen.is_some_and(|chosen| chosen.is_later(frame)),
            main: &|page| chosen.is_some_and(|chosen| chosen.is_main_later(page)),
            main_uncommitted: chosen.is_some_and(Chosen::is_rolled_back),
        },
    );
    // A statement journal's pages were written in the course of the last transaction, or amid an earlier one.
    for (source, temp) in &roles.temps {
        if let Temp::Statement { page_size: size, records } = temp
            && *size == page_size
        {
            view.add_statement(*source, records);
        }
    }
    survey.add_old(view);
}

/// The text encoding: what the header says, unless the text of the rows disproves it.
fn encoding(
    (view, survey): (&View<'_>, &Survey),
    header: Option<&Header>,
    findings: &mut Vec<Finding>,
) -> TextEncoding {
    let stated = header.and_then(Header::text_encoding);
    match (seen_encoding(view, survey, stated.is_some()), stated) {
        (Some(seen), Some(stated)) if seen == stated => stated,
        (Some(seen), stated) => {
            let found = stated.map_or("unknown", TextEncoding::name).to_owned();
            let expected = format!("{}, as the text of the rows reads", seen.name());
            findings.push(Finding::note("database_header.encoding", "mismatch", found, expected));
            seen
        }
        (None, stated) => stated.unwrap_or_default(),
    }
}

/// The page size of SQLite's own choice.
const DEFAULT_PAGE_SIZE: u32 = 4096;

/// The current view: through the committed part of a log, or after rollback of a hot journal.
fn view<'a>(
    sources: &'a [Source],
    roles: &Roles,
    log: Option<&(SourceId, Result<Wal, Damage>)>,
    chosen: Option<&Chosen<'a>>,
    findings: &mut Vec<Finding>,
) -> Result<(View<'a>, Detected), Error> {
    let bytes = |id: SourceId| sources.get(usize::from(id.0)).map_or(&[][..], Source::bytes);
    let rollback = roles.journal.map(|id| (id, journal::journal(bytes(id))));
    let detected = roles.main.and_then(|main| detect::of(sources.get(usize::from(main.0))?));
    // What a sorter spills tells no page size, and has no pages.
    let of_statement = roles.temps.iter().find_map(|(_, temp)| match temp {
        Temp::Statement { page_size, .. } => Some(*page_size),
        Temp::Spill(_) | Temp::Database(_) => None,
    });
    let of_temps = of_statement.or((!roles.temps.is_empty()).then_some(DEFAULT_PAGE_SIZE));
    let page_size = match (log, &rollback) {
        (Some((_, Ok(log))), _) => Some(log.header.page_size),
        (_, Some((_, Ok(journal)))) => Some(journal.header.page_size),
        _ => of_temps,
    };
    let frames = log.and_then(|(id, log)| Some((bytes(*id), log.as_ref().ok()?)));
    let of_frames = frames.and_then(|(bytes, log)| {
        let first = log.frames.iter().find(|frame| frame.page == 1 && frame.sound)?;
        bytes.get(usize::try_from(first.offset).ok()?..)
    });
    let records = rollback.as_ref().and_then(|(id, journal)| Some((bytes(*id), journal.as_ref().ok()?)));
    let of_records = records.and_then(|(bytes, journal)| {
        let first = journal.records.iter().find(|record| record.page == 1)?;
        bytes.get(usize::try_from(first.offset).ok()?..)
    });
    let told = of_frames.or(of_records).and_then(|page| header::header(page).ok()?.1.geometry());
    let told = told.filter(|told| Some(told.page_size) == page_size);
    let detected = match (detected, page_size) {
        (Some(detected), _) => match told {
            Some(told) => detected.told(told),
            None => detected,
        },
        // Only the log or the journal is left: it tells the page size.
        (None, Some(page_size)) => Detected {
            header: None,
            geometry: told.unwrap_or(Geometry { page_size, reserved: 0 }),
            borne_out: false,
            pages: detect::Pages::InPlace,
            notes: Vec::new(),
        },
        (None, None) => {
            let path = sources.first().map(|source| source.path().to_owned()).unwrap_or_default();
            let reason = "no page of an SQLite database found".to_owned();
            return Err(Error::NotAStore { path, reason });
        }
    };
    for (field, found, expected) in &detected.notes {
        findings.push(Finding::note(field, "mismatch", found.clone(), expected.clone()));
    }
    let geometry = detected.geometry;
    let mut view = View::main(sources, roles.main, geometry);
    if let Some(chosen) = chosen {
        let stated = detected.header.filter(|_| detected.notes.is_empty());
        let stated = stated.and_then(|header| header.believed_page_count()).unwrap_or(0);
        findings.extend(chosen.findings());
        return Ok((chosen.view(view, stated), detected));
    }
    match log {
        Some((id, Ok(log))) if log.header.page_size == geometry.page_size => {
            findings.extend(log.damage.iter().map(|d| Finding::from_damage(d, *id, None, 0)));
            view = view.with_log(log, *id).with_older_log(log, *id);
        }
        Some((id, Ok(log))) => {
            let mut finding = Finding::note(
                "wal.page_size",
                "mismatch",
                log.header.page_size.to_string(),
                format!("{}, the database's; the log is left out", geometry.page_size),
            );
            finding.source = Some(*id);
            findings.push(finding);
        }
        Some((id, Err(damage))) if !bytes(*id).is_empty() => {
            findings.push(Finding::from_damage(damage, *id, None, 0));
        }
        _ => {}
    }
    if let Some((id, Ok(journal))) = rollback {
        findings.extend(journal.damage.iter().map(|d| Finding::from_damage(d, id, None, 0)));
        let orphaned = journal.super_journal.as_ref().filter(|name| !beside(sources, id, name));
        if journal.header.page_size != geometry.page_size {
            let mut finding = Finding::note(
                "journal.page_size",
                "mismatch",
                journal.header.page_size.to_string(),
                format!("{}, the database's; the journal is left out", geometry.page_size),
            );
            finding.source = Some(id);
            findings.push(finding);
        } else if let Some(name) = orphaned {
            // SQLite takes a missing super-journal for a commit that has happened.
            let mut finding = Finding::note(
                "journal.super_journal",
                "not_a",
                format!("{} is not there", String::from_utf8_lossy(name)),
                "a super-journal; without it the transaction counts as committed".to_owned(),
            );
            finding.source = Some(id);
            findings.push(finding);
        } else {
            view = view.with_rollback(&journal, id);
        }
    }
    // The header counts where nothing newer does; one that is wrong elsewhere is not believed.
    if !view.has_overlay() && view.page_count == view.main_pages && detected.notes.is_empty() {
        let stated = detected.header.and_then(|header| header.believed_page_count());
        view = view.with_stated_count(stated.unwrap_or(0));
    }
    Ok((view, detected))
}

/// Whether the super-journal stands beside the journal.
pub(super) fn beside(sources: &[Source], journal: SourceId, name: &[u8]) -> bool {
    let text = String::from_utf8_lossy(name);
    let file = text.rsplit(['/', '\\']).next().unwrap_or_default();
    let folder = sources.get(usize::from(journal.0)).and_then(|source| source.path().parent());
    folder.is_some_and(|folder| !file.is_empty() && folder.join(file).exists())
}

/// Whether page 2 is a pointer map: it must not be a b-tree page.
fn has_pointer_map(view: &View<'_>) -> bool {
    view.page(2).is_some_and(|page| Page::parse(page.bytes, 2, view.geometry).is_none())
}

/// The tables to put out: those of the catalogue, then those without a name.
fn outputs(
    forest: &Forest,
    ground: Ground<'_, '_>,
    encoding: TextEncoding,
    unnamed: &[(usize, usize, Vec<usize>)],
) -> Vec<Output> {
    let mut by_table: HashMap<usize, Vec<(usize, Vec<usize>)>> = HashMap::new();
    for (index, table, positions) in unnamed {
        by_table.entry(*table).or_default().push((*index, positions.clone()));
    }
    let mut outputs = Vec::new();
    let mut lost = 0;
    for (number, tree) in forest.trees.iter().enumerate() {
        let unnamed_indexes = by_table.remove(&number).unwrap_or_default();
        let mut told = Told::Rows;
        let (table, layout, def) = match tree.object {
            Object::Table(0) | Object::Index(_) | Object::Stale => continue,
            Object::Table(def) => {
                let Some(table) = ground.catalogue.tables.get(def) else { continue };
                let layout = Layout::of(table, encoding);
                (named(def, ground.catalogue, &layout), layout, Some(def))
            }
            Object::Unknown => {
                let is_index = unnamed.iter().any(|(index, _, _)| *index == number);
                let columns = tree.pages.iter().map(|page| ground.survey.page(*page).columns).max();
                let columns = columns.filter(|columns| *columns > 0).or_else(|| emptied_width(ground, tree));
                let Some(columns) = columns.filter(|_| !is_index).map(usize::from) else { continue };
                lost += 1;
                told = if tree.rowids { Told::Rows } else { untold::tell(ground, &tree.pages) };
                let layout = match told {
                    Told::Entries => Layout::of_entries(columns, encoding),
                    Told::Rows | Told::Either => {
                        Layout::unnamed(columns, encoding).with_defaults_of(&alike(ground, tree, columns))
                    }
                };
                (lost_table(lost, &layout), layout, None)
            }
        };
        outputs.push(Output { table, tree: number, def, layout, unnamed_indexes, told });
    }
    outputs
}

/// How many columns the rows had of a tree without rows that is only a root.
fn emptied_width(ground: Ground<'_, '_>, tree: &Tree) -> Option<u16> {
    let [root] = tree.pages[..] else { return None };
    cleared::width(ground.view, ground.survey, root).filter(|_| tree.rowids)
}

/// The known tables of which a tree without a name may be one.
fn alike<'g>(ground: Ground<'g, '_>, tree: &Tree, columns: usize) -> Vec<&'g TableDef> {
    let tables = ground.catalogue.tables.iter().enumerate().skip(1);
    let may_be = |number: usize, table: &TableDef| {
        table.stored.len() == columns
            && table.ddl.without_rowid != tree.rowids
            && tree
                .pages
                .iter()
                .take(ASKED)
                .all(|page| fit_object(ground, Object::Table(number), *page) != Fit::No)
    };
    tables.filter(|(number, table)| may_be(*number, table)).map(|(_, table)| table).collect()
}

/// Pages that are asked what tables their tree may be.
const ASKED: usize = 8;

/// A table whose name is lost.
fn lost_table(lost: usize, layout: &Layout) -> Table {
    Table {
        namespace: None,
        name: None,
        label: format!("lost_{lost}"),
        columns: layout.columns.clone(),
        origin: SchemaOrigin::Shape,
        schema: SchemaText::default(),
        create: None,
        indexes: Vec::new(),
        internal: false,
    }
}

fn named(number: usize, catalogue: &Catalogue, layout: &Layout) -> Table {
    let Some(def) = catalogue.tables.get(number) else {
        unreachable!("tables are numbered by the catalogue")
    };
    let indexes = catalogue.indexes.iter().filter(|index| index.table == number);
    let indexes = indexes.filter_map(|index| {
        let parsed = index.ddl.clone()?;
        Some(IndexText { name: index.name.clone(), found: index.sql.clone(), parsed })
    });
    Table {
        namespace: None,
        name: Some(def.name.clone()),
        label: def.name.clone(),
        columns: layout.columns.clone(),
        origin: def.origin,
        schema: SchemaText {
            found: (def.origin != SchemaOrigin::Shape).then(|| def.sql.clone()),
            changes: Vec::new(),
        },
        create: Some(TableDdl { parsed: def.ddl.clone() }),
        indexes: indexes.collect(),
        internal: def.name.to_ascii_lowercase().starts_with("sqlite_"),
    }
}
