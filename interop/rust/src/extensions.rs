//! Header extensions of a p2panda node: the CBOR array `[1, 0, log id, timestamp, prune flag]`.
//! The `p2panda` crate has this type too, but would bring its whole node along.

use std::fmt;

use p2panda_core::{Hash, PruneFlag, Timestamp};
use serde::de::{Error, IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

const VERSION: u16 = 1;
const BASIC: u16 = 0;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeExtensions {
    pub log_id: Hash,
    pub timestamp: Timestamp,
    pub prune: PruneFlag,
}

impl Serialize for NodeExtensions {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (VERSION, BASIC, self.log_id, self.timestamp, self.prune).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for NodeExtensions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(Elements)
    }
}

struct Elements;

impl<'de> Visitor<'de> for Elements {
    type Value = NodeExtensions;

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("node extensions of version 1, variant 0")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<NodeExtensions, A::Error> {
        let version: u16 = element(&mut elements, "version")?;
        let variant: u16 = element(&mut elements, "variant")?;
        if (version, variant) != (VERSION, BASIC) {
            return Err(A::Error::custom(format!(
                "extensions {version}.{variant} are unknown"
            )));
        }
        let extensions = NodeExtensions {
            log_id: element(&mut elements, "log id")?,
            timestamp: element(&mut elements, "timestamp")?,
            prune: element(&mut elements, "prune flag")?,
        };
        // A node of 0.7.1 ignores what a later version may append.
        while elements.next_element::<IgnoredAny>()?.is_some() {}
        Ok(extensions)
    }
}

fn element<'de, A: SeqAccess<'de>, T: Deserialize<'de>>(
    elements: &mut A,
    name: &str,
) -> Result<T, A::Error> {
    elements
        .next_element()?
        .ok_or_else(|| A::Error::custom(format!("{name} is missing")))
}

#[cfg(test)]
mod tests {
    use p2panda_core::{Hash, Header, SigningKey, Topic};

    use super::NodeExtensions;

    /// A header made by a p2panda node, with an empty log and the body "hello" as CBOR text.
    #[test]
    fn header_is_that_of_a_p2panda_node() {
        let seed = bytes("610d89b9f2370d5f845ac705d9b879fe2d90c1e149748ae51bf2b049607d547d");
        let topic = bytes("cca2feb96be49e21749bc9a1dc1f5b77903cfe5b2489b7b1d4ab0a046fb8f133");
        let extensions = NodeExtensions {
            log_id: Hash::digest(Topic::from(topic).as_bytes()),
            timestamp: 1_767_225_600_000_000.into(),
            prune: false.into(),
        };
        let header = Header::builder()
            .body(b"\x65hello")
            .build(&SigningKey::from(seed), extensions);
        let id = "96e68d77d1e9a3b0952c287ab37bc180c6e30be91e9945f6c836a7b9b20bb563";
        assert_eq!(header.hash().to_hex(), id);
        let decoded = Header::<NodeExtensions>::decode(&header.encode());
        assert_eq!(
            decoded.map(|header| header.hash().to_hex()).ok().as_deref(),
            Some(id)
        );
    }

    fn bytes(hex: &str) -> [u8; 32] {
        hex::decode(hex)
            .ok()
            .and_then(|bytes| bytes.try_into().ok())
            .unwrap_or_default()
    }
}
