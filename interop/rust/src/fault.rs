//! The ways in which `forge` breaks one operation or the protocol around it.

use std::str::FromStr;

use p2panda_core::Hash;
use p2panda_sync::protocols::LogSyncMessage;

use crate::author::{Author, Op};
use crate::fail::{Fail, Outcome};
use crate::wire::{SyncMessage, frame};

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    None,
    /// One bit of the signature is flipped.
    Signature,
    /// One bit of the body is flipped, so that it no longer has the hash in the header.
    Body,
    /// Well signed, but naming a predecessor that does not exist.
    Backlink,
    /// Well signed, but one sequence number is left out.
    Gap,
    /// Well signed, but for the log of another topic.
    LogId,
    /// A zero byte follows the header.
    Trailing,
    /// The operation comes twice.
    Twice,
    /// A live message within the initial sync, or a sync message in the live phase.
    Phase,
    /// A frame that is no message.
    Garbage,
    /// A frame head that promises four gigabytes.
    Oversize,
    /// Nothing more comes, the stream stays open.
    Stall,
    /// The stream is finished without Done.
    Fin,
}

const NAMES: [(&str, Fault); 13] = [
    ("none", Fault::None),
    ("signature", Fault::Signature),
    ("body", Fault::Body),
    ("backlink", Fault::Backlink),
    ("gap", Fault::Gap),
    ("log-id", Fault::LogId),
    ("trailing", Fault::Trailing),
    ("twice", Fault::Twice),
    ("phase", Fault::Phase),
    ("garbage", Fault::Garbage),
    ("oversize", Fault::Oversize),
    ("stall", Fault::Stall),
    ("fin", Fault::Fin),
];

impl FromStr for Fault {
    type Err = Fail;

    fn from_str(text: &str) -> Result<Self, Fail> {
        let found = NAMES.iter().find(|(name, _)| *name == text);
        found
            .map(|(_, fault)| *fault)
            .ok_or_else(|| "no such fault, see README.md".into())
    }
}

/// Behind `[array head, version, 58 20, key, 58 40]`, where every header has its signature.
const SIGNATURE_AT: usize = 38;
const SIGNATURE_S: usize = SIGNATURE_AT + 32;

/// The bytes on the wire for the next operation of the author, with the fault in it.
pub fn frames(author: &mut Author, size: usize, fault: Fault, is_live: bool) -> Outcome<Vec<u8>> {
    let log_id = author.log_id;
    match fault {
        Fault::Backlink => author.backlink = Some(Hash::digest(b"no such operation")),
        Fault::Gap => author.next += 1,
        Fault::LogId => author.log_id = Hash::digest(b"the log of another topic"),
        _ => {}
    }
    let operation = author.make(size);
    author.log_id = log_id;
    let (mut header, mut body) = encoded(&operation);
    match fault {
        Fault::Signature => flip(&mut header, SIGNATURE_S)?,
        Fault::Body => {
            let body = body
                .as_mut()
                .ok_or("an operation without body cannot have a bad one")?;
            let last = body.len().saturating_sub(1);
            flip(body, last)?;
        }
        Fault::Trailing => header.push(0),
        Fault::Garbage => return Ok(frame(&[9])),
        Fault::Oversize => return Ok(vec![0xff; 4]),
        _ => {}
    }
    let as_live = is_live != (fault == Fault::Phase);
    let message = if as_live {
        SyncMessage::Live((header, body))
    } else {
        SyncMessage::Sync(LogSyncMessage::Operation((header, body)))
    };
    let once = frame(&postcard::to_stdvec(&message)?);
    Ok(if fault == Fault::Twice {
        once.repeat(2)
    } else {
        once
    })
}

fn encoded(operation: &Op) -> (Vec<u8>, Option<Vec<u8>>) {
    (
        operation.header.encode(),
        operation.body.as_ref().map(|body| body.to_bytes()),
    )
}

fn flip(bytes: &mut [u8], at: usize) -> Outcome<()> {
    *bytes.get_mut(at).ok_or("too short for this fault")? ^= 1;
    Ok(())
}
