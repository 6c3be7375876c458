//! A forest within a stored state: its own bytes, which carry their version and checksum. As bytes they are copied as a
//! whole; as a row of numbers each would be written and read by itself.

use serde::{Deserialize, Deserializer, Serializer, de::Error};
use windward_forest::Forest;

pub(super) fn serialize<S: Serializer>(forest: &Forest, serializer: S) -> Result<S::Ok, S::Error> {
    let mut bytes = Vec::new();
    forest.save(&mut bytes);
    serializer.serialize_bytes(&bytes)
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Forest, D::Error> {
    Forest::restore(<&[u8]>::deserialize(deserializer)?).map_err(D::Error::custom)
}
