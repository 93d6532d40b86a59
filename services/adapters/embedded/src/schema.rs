//! The tables of the file, and how their values are packed.
//!
//! **Invariant:** a table's types never change; a new format gets a new table and a new number.

use curfew_core::place::{Incarnation, LogIdentity, Partition, Version};
use curfew_core::stored::Key;
use curfew_core::time::Millis;
use redb::{
    Database, ReadTransaction, ReadableDatabase, ReadableTable, Table, TableDefinition, WriteTransaction,
};

use crate::fault::Fault;
use crate::options::{OpenError, Options};

/// Partition (2, big-endian) and key → version (16), time of collection (8), record.
pub(crate) const RECORDS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("records");
/// Time of collection and place → nothing: the oldest first.
const EXPIRY: TableDefinition<'_, (i64, &[u8]), ()> = TableDefinition::new("expiry");
/// Log partition and offset → time of the append (8), envelope.
pub(crate) const LOG: TableDefinition<'_, (u16, u64), &[u8]> = TableDefinition::new("log");
/// Log partition → oldest retained offset, next offset.
pub(crate) const BOUNDS: TableDefinition<'_, u16, (u64, u64)> = TableDefinition::new("bounds");
/// What the file is.
const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");

const FORMAT: u8 = 1;
/// No time of collection.
pub(crate) const NEVER: i64 = i64::MAX;

/// All tables, open for one write transaction.
pub(crate) struct Tables<'t> {
    pub(crate) records: Table<'t, &'static [u8], &'static [u8]>,
    pub(crate) expiry: Table<'t, (i64, &'static [u8]), ()>,
    pub(crate) log: Table<'t, (u16, u64), &'static [u8]>,
    pub(crate) bounds: Table<'t, u16, (u64, u64)>,
    pub(crate) meta: Table<'t, &'static str, &'static [u8]>,
}

impl<'t> Tables<'t> {
    pub(crate) fn open(transaction: &'t WriteTransaction) -> Result<Self, Fault> {
        Ok(Self {
            records: transaction.open_table(RECORDS)?,
            expiry: transaction.open_table(EXPIRY)?,
            log: transaction.open_table(LOG)?,
            bounds: transaction.open_table(BOUNDS)?,
            meta: transaction.open_table(META)?,
        })
    }
}

/// What the file says of itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Meta {
    pub(crate) identity: LogIdentity,
    pub(crate) incarnation: Incarnation,
    /// The greatest `now` of any commit.
    pub(crate) newest: Millis,
}

/// Reads what the file says of itself; a new file is given its identities first.
///
/// `file`: what to call it in an error.
pub(crate) fn read_or_make(database: &Database, options: &Options, file: &str) -> Result<Meta, OpenError> {
    let wrong = |fault: Fault| fault.of_file(file);
    let transaction = database.begin_write().map_err(|error| wrong(error.into()))?;
    // Before any other table, whose types another version may have changed.
    let format = transaction.open_table(META).map_err(Fault::from);
    let format = format.and_then(|meta| format_of(&meta)).map_err(wrong)?;
    if let Some(present) = format.filter(|present| *present != FORMAT) {
        return Err(OpenError::Format {
            file: file.to_owned(),
            present,
            ours: FORMAT,
        });
    }
    let is_new = format.is_none();
    let (meta, is_changed) = prepare(&transaction, options, is_new).map_err(wrong)?;
    match options.partitions {
        Some(asked) if asked != meta.identity.partitions => {
            return Err(OpenError::Partitions {
                present: meta.identity.partitions,
                asked,
            });
        }
        Some(_) | None => {}
    }
    if is_changed {
        transaction.commit().map_err(|error| wrong(error.into()))?;
    } else {
        transaction.abort().map_err(|error| wrong(error.into()))?;
    }
    Ok(meta)
}

/// `None`: the file is new.
fn format_of(meta: &impl ReadableTable<&'static str, &'static [u8]>) -> Result<Option<u8>, Fault> {
    match get(meta, "format")?.as_deref() {
        None => Ok(None),
        Some([format]) => Ok(Some(*format)),
        Some(_) => Err(Fault::new("`format` of the file is not one byte")),
    }
}

/// What the file says of itself, and whether that was changed just now.
fn prepare(transaction: &WriteTransaction, options: &Options, is_new: bool) -> Result<(Meta, bool), Fault> {
    let mut tables = Tables::open(transaction)?;
    if is_new {
        make(&mut tables, options)?;
    }
    if options.new_history {
        put_new_history(&mut tables.meta, options)?;
    }
    let mut meta = read_meta(&tables.meta)?;
    let now = options.clock.now().wall;
    let is_set_back = options.accept_clock && meta.newest > now;
    if is_set_back {
        meta.newest = now;
        put_newest(&mut tables.meta, now)?;
    }
    Ok((meta, is_new || is_set_back || options.new_history))
}

/// The same, of a file that must be this engine's: after a failure it is opened again.
pub(crate) fn read_again(database: &Database) -> Result<Meta, Fault> {
    read_meta(&database.begin_read()?.open_table(META)?)
}

fn put_new_history(
    meta: &mut Table<'_, &'static str, &'static [u8]>,
    options: &Options,
) -> Result<(), Fault> {
    let drawn = options.entropy.draw();
    let [first, second] = drawn.as_chunks::<16>().0 else {
        return Err(Fault::new("too little entropy"));
    };
    let (incarnation, _) = second.split_at(8);
    meta.insert("log_id", first.as_slice())?;
    meta.insert("incarnation", incarnation)?;
    Ok(())
}

fn make(tables: &mut Tables<'_>, options: &Options) -> Result<(), Fault> {
    let m = options.partitions_of_a_new_log();
    tables.meta.insert("format", [FORMAT].as_slice())?;
    put_new_history(&mut tables.meta, options)?;
    tables.meta.insert("partitions", m.to_be_bytes().as_slice())?;
    for partition in 0..m {
        tables.bounds.insert(partition, (0, 0))?;
    }
    put_newest(&mut tables.meta, Millis::ZERO)
}

fn get(meta: &impl ReadableTable<&'static str, &'static [u8]>, name: &str) -> Result<Option<Vec<u8>>, Fault> {
    Ok(meta.get(name)?.map(|value| value.value().to_vec()))
}

fn fixed<const K: usize>(
    meta: &impl ReadableTable<&'static str, &'static [u8]>,
    name: &str,
) -> Result<[u8; K], Fault> {
    let value = get(meta, name)?.and_then(|value| value.try_into().ok());
    value.ok_or_else(|| Fault::new(&format!("`{name}` of the file is missing or has another length")))
}

fn read_meta(meta: &impl ReadableTable<&'static str, &'static [u8]>) -> Result<Meta, Fault> {
    if format_of(meta)? != Some(FORMAT) {
        return Err(Fault::new("the file is of another version"));
    }
    let m = u16::from_be_bytes(fixed(meta, "partitions")?);
    let identity = LogIdentity::new(fixed(meta, "log_id")?, m);
    Ok(Meta {
        identity: identity.ok_or_else(|| Fault::new("`partitions` of the file does not divide N"))?,
        incarnation: Incarnation(fixed(meta, "incarnation")?),
        newest: Millis::from_unix_ms(i64::from_be_bytes(fixed(meta, "newest")?)),
    })
}

pub(crate) fn put_newest(meta: &mut Table<'_, &'static str, &'static [u8]>, at: Millis) -> Result<(), Fault> {
    meta.insert("newest", at.as_unix_ms().to_be_bytes().as_slice())?;
    Ok(())
}

pub(crate) fn put_incarnation(
    meta: &mut Table<'_, &'static str, &'static [u8]>,
    incarnation: Incarnation,
) -> Result<(), Fault> {
    meta.insert("incarnation", incarnation.0.as_slice())?;
    Ok(())
}

/// Where a record lies.
pub(crate) fn place_of(partition: Partition, key: &Key) -> Vec<u8> {
    place_of_bytes(partition, &key.to_bytes())
}

pub(crate) fn place_of_bytes(partition: Partition, key: &[u8]) -> Vec<u8> {
    [partition.number().to_be_bytes().as_slice(), key].concat()
}

/// A stored value: version, time of collection, record.
pub(crate) fn pack(version: Version, collect_at: i64, record: &[u8]) -> Vec<u8> {
    [version.0.as_slice(), &collect_at.to_be_bytes(), record].concat()
}

pub(crate) fn unpack(value: &[u8]) -> Result<(Version, i64, &[u8]), Fault> {
    let parts = value.split_first_chunk::<16>().and_then(|(version, rest)| {
        let (collect_at, record) = rest.split_first_chunk::<8>()?;
        Some((Version(*version), i64::from_be_bytes(*collect_at), record))
    });
    parts.ok_or_else(|| Fault::new("a stored value is too short"))
}

/// An entry of the log: when, what.
pub(crate) fn unpack_entry(value: &[u8]) -> Result<(Millis, &[u8]), Fault> {
    let (at, envelope) = value
        .split_first_chunk::<8>()
        .ok_or_else(|| Fault::new("a stored log entry is too short"))?;
    Ok((Millis::from_unix_ms(i64::from_be_bytes(*at)), envelope))
}

/// The retained range of a log partition of this log.
pub(crate) fn bounds_of(
    bounds: &impl ReadableTable<u16, (u64, u64)>,
    partition: u16,
) -> Result<(u64, u64), Fault> {
    let found = bounds.get(partition)?.map(|value| value.value());
    found.ok_or_else(|| Fault::new("the bounds of a log partition are missing"))
}

/// All bounds of one read transaction.
pub(crate) fn all_bounds(
    transaction: &ReadTransaction,
    identity: LogIdentity,
) -> Result<Vec<(u64, u64)>, Fault> {
    let table = transaction.open_table(BOUNDS)?;
    identity
        .all()
        .map(|partition| bounds_of(&table, partition.0))
        .collect()
}
