//! The layout `item`: each reading an item of plain attributes, for programs that read the table themselves.

use super::items::{Item, finite, number, text};
use crate::place::{ReadingsRow, sortable_time, two_decimals};
use crate::query;
use windward_protocol::{NoData, Row};

/// A reading's item and its key: `<agent>/<device>/<channel>` and `<time>#<epoch>#<seq>#<moment>`.
pub(super) fn value_items(stored: &ReadingsRow) -> Vec<(String, String, Item)> {
    let mut items = Vec::new();
    for (name, block) in query::named_blocks(std::slice::from_ref(&stored.block)) {
        for (moment, row) in block.rows().iter().enumerate() {
            let sort = format!("{}#{:016x}#{:020}#{moment:04}", sortable_time(row.time_ms), name.1, name.3);
            for (index, channel) in block.channels.iter().enumerate() {
                let Some(mut item) = reading(row, index) else { continue };
                item.extend([
                    ("agent".into(), text(stored.agent.as_str())),
                    ("device".into(), text(&stored.device)),
                    ("location".into(), text(&stored.location)),
                    ("channel".into(), text(&channel.name)),
                    ("unit".into(), text(&channel.unit)),
                    ("time_ms".into(), number(row.time_ms)),
                ]);
                items.push((format!("{}/{}", stored.partition, channel.name), sort.clone(), item));
            }
        }
    }
    items
}

/// Value or reason, and score; nothing where nothing was to be read.
fn reading(row: &Row, index: usize) -> Option<Item> {
    let mut item = match row.readings[index] {
        Ok(value) => Item::from_iter(finite(value.as_f64()).map(|value| ("value".into(), value))),
        Err(NoData::NotDue) => return None,
        Err(reason) => Item::from([("no_data".into(), text(reason.to_string()))]),
    };
    let score = row.scores[index].map(two_decimals).and_then(finite);
    item.extend(score.map(|score| ("score".into(), score)));
    Some(item)
}
