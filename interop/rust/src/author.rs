//! The author of our own log: makes signed operations one after the other and knows where the log
//! stands, also after a restart on the same database.

use p2panda_core::{Body, Hash, Header, Operation, PruneFlag, SigningKey, Timestamp};

use crate::extensions::NodeExtensions;
use crate::fail::Outcome;
use crate::store::{self, Store};

pub type Op = Operation<NodeExtensions>;

pub struct Author {
    key: SigningKey,
    pub log_id: Hash,
    pub next: u32,
    pub backlink: Option<Hash>,
}

impl Author {
    pub fn new(key: SigningKey, log_id: Hash) -> Self {
        Self {
            key,
            log_id,
            next: 0,
            backlink: None,
        }
    }

    pub async fn resume(store: &Store, key: SigningKey, log_id: Hash) -> Outcome<Self> {
        let mut author = Self::new(key, log_id);
        if let Some(last) = store::latest(store, &author.key.verifying_key(), &log_id).await? {
            author.next = last.header.seq_num + 1;
            author.backlink = Some(last.hash);
        }
        Ok(author)
    }

    pub fn make(&mut self, size: usize) -> Op {
        let bytes = body_bytes(size, self.next);
        let extensions = NodeExtensions {
            log_id: self.log_id,
            timestamp: Timestamp::now(),
            prune: PruneFlag::new(false),
        };
        let header = Header::builder()
            .seq_num(self.next)
            .backlink(self.backlink)
            .body(&bytes)
            .build(&self.key, extensions);
        let body = (!bytes.is_empty()).then(|| Body::from_bytes(&bytes));
        let operation = Op::from_parts(header, body);
        self.next += 1;
        self.backlink = Some(operation.hash);
        operation
    }
}

/// One CBOR byte string of exactly `size` bytes, head included, because the body of a node is CBOR.
/// The content differs from operation to operation. Where no canonical byte string has that size
/// (25, 258, 65539, 65540) the body is a byte or two shorter.
fn body_bytes(size: usize, seed: u32) -> Vec<u8> {
    let (head, content): (Vec<u8>, usize) = match size {
        0 => return Vec::new(),
        1..=24 => (vec![0x40 + (size - 1) as u8], size - 1),
        25 => (vec![0x57], 23),
        26..=257 => (vec![0x58, (size - 2) as u8], size - 2),
        258 => (vec![0x58, 0xff], 255),
        259..=65_538 => {
            let length = ((size - 3) as u16).to_be_bytes();
            (vec![0x59, length[0], length[1]], size - 3)
        }
        65_539 | 65_540 => (vec![0x59, 0xff, 0xff], 65_535),
        _ => {
            let length = ((size - 5) as u32).to_be_bytes();
            ([&[0x5a], length.as_slice()].concat(), size - 5)
        }
    };
    let mut bytes = head;
    bytes
        .extend((0..content).map(|index| (index as u32).wrapping_mul(31).wrapping_add(seed) as u8));
    bytes
}

#[cfg(test)]
mod tests {
    use super::body_bytes;

    #[test]
    fn body_has_the_size_asked_for_where_cbor_allows_it() {
        for size in (0..300).chain([1_024, 65_538, 65_541, 70_000]) {
            let missing = if [25, 258].contains(&size) { 1 } else { 0 };
            assert_eq!(body_bytes(size, 7).len(), size - missing);
        }
    }
}
