//! A forest within a stored state: its own bytes, which carry their version and checksum.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use windward_forest::Forest;

pub(super) fn serialize<S: Serializer>(forest: &Forest, serializer: S) -> Result<S::Ok, S::Error> {
    let mut bytes = Vec::new();
    forest.save(&mut bytes);
    bytes.serialize(serializer)
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Forest, D::Error> {
    let bytes = Vec::<u8>::deserialize(deserializer)?;
    Forest::restore(&bytes).map_err(D::Error::custom)
}
