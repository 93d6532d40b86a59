//! Collection: records past their time, and log entries past their retention.
//!
//! **Invariant:** no log entry goes before it is older than the retention; nothing is decided by
//! what was collected.

use curfew_core::place::{LogIdentity, LogPartition};
use curfew_core::time::Millis;
use redb::ReadableTable;

use crate::fault::Fault;
use crate::schema::{Tables, bounds_of, unpack, unpack_entry};

/// Drops at most `max` records whose time of collection has come.
pub(crate) fn collect_records(tables: &mut Tables<'_>, now: Millis, max: usize) -> Result<(), Fault> {
    let mut due = Vec::new();
    let end: (i64, &[u8]) = (now.as_unix_ms(), &[]);
    for entry in tables.expiry.range(..end)?.take(max) {
        let (key, _) = entry?;
        let (at, place) = key.value();
        due.push((at, place.to_vec()));
    }
    for (at, place) in &due {
        tables.expiry.remove((*at, place.as_slice()))?;
        // The expiry names what the record says; anything else is a later record's place.
        let is_due = match tables.records.get(place.as_slice())? {
            None => false,
            Some(value) => unpack(value.value())?.1 == *at,
        };
        if is_due {
            tables.records.remove(place.as_slice())?;
        }
    }
    Ok(())
}

/// Drops at most `max` entries that are older than the retention, oldest first in each partition.
pub(crate) fn collect_log(
    tables: &mut Tables<'_>,
    log: LogIdentity,
    now: Millis,
    retention_ms: i64,
    max: usize,
) -> Result<(), Fault> {
    let mut left = max;
    for partition in log.all() {
        if left == 0 {
            break;
        }
        let before = first_retained(tables, partition, now.plus_ms(-retention_ms), now, left)?;
        left -= trim_to(tables, partition, before, left)?;
    }
    Ok(())
}

/// The first offset that is not known to be older than `horizon`; looks at `max` entries.
fn first_retained(
    tables: &Tables<'_>,
    partition: LogPartition,
    horizon: Millis,
    now: Millis,
    max: usize,
) -> Result<u64, Fault> {
    let (start, end) = bounds_of(&tables.bounds, partition.0)?;
    let mut retained = start;
    for entry in tables
        .log
        .range((partition.0, start)..(partition.0, end))?
        .take(max)
    {
        let (key, value) = entry?;
        let (at, _) = unpack_entry(value.value())?;
        if at > now && key.value().1 == start {
            // Stamped by a clock that was ahead; it is at least as old as what lies behind it.
            return first_old_behind(tables, partition, (start, end), horizon);
        }
        if at >= horizon {
            break;
        }
        retained = key.value().1 + 1;
    }
    Ok(retained)
}

/// Looks 1, 2, 4, … entries further for one that is old enough: all before it are, too.
fn first_old_behind(
    tables: &Tables<'_>,
    partition: LogPartition,
    (start, end): (u64, u64),
    horizon: Millis,
) -> Result<u64, Fault> {
    let mut step = 1_u64;
    while let Some(offset) = start.checked_add(step).filter(|offset| *offset < end) {
        if let Some(value) = tables.log.get((partition.0, offset))?
            && unpack_entry(value.value())?.0 < horizon
        {
            return Ok(offset + 1);
        }
        step = step.saturating_mul(2);
    }
    Ok(start)
}

/// Drops what lies before an offset, at most `max` entries; answers how many went.
pub(crate) fn trim_to(
    tables: &mut Tables<'_>,
    partition: LogPartition,
    before: u64,
    max: usize,
) -> Result<usize, Fault> {
    let (start, end) = bounds_of(&tables.bounds, partition.0)?;
    let max = u64::try_from(max).unwrap_or(u64::MAX);
    let before = before.min(end).min(start.saturating_add(max));
    if before <= start {
        return Ok(0);
    }
    for offset in start..before {
        tables.log.remove((partition.0, offset))?;
    }
    tables.bounds.insert(partition.0, (before, end))?;
    Ok(usize::try_from(before - start).unwrap_or(usize::MAX))
}
