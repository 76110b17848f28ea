//! The commands of `quic`, one a line.

use std::str::FromStr;

use iroh::EndpointAddr;
use iroh::endpoint::VarInt;

use super::varint;
use crate::fail::{Fail, Outcome};
use crate::options;

/// What happens to who asks for a connection.
#[derive(Clone, Copy)]
pub enum Policy {
    Accept,
    Refuse,
    /// Accepts who has proved its address, and lets all others do that.
    Retry,
    Ignore,
}

impl FromStr for Policy {
    type Err = Fail;

    fn from_str(text: &str) -> Outcome<Self> {
        Ok(match text {
            "accept" => Self::Accept,
            "refuse" => Self::Refuse,
            "retry" => Self::Retry,
            "ignore" => Self::Ignore,
            _ => return Err("accept, refuse, retry or ignore".into()),
        })
    }
}

pub enum Command {
    Policy(Policy),
    Dial {
        address: EndpointAddr,
        alpn: Option<Vec<u8>>,
    },
    Send {
        connection: u32,
        bytes: u64,
    },
    Talk {
        connection: u32,
        bytes: u64,
    },
    Reset {
        connection: u32,
        bytes: u64,
        code: VarInt,
    },
    Stats {
        connection: u32,
    },
    Close {
        connection: u32,
        code: VarInt,
        reason: String,
    },
    Quit,
}

pub fn parse(line: &str) -> Outcome<Command> {
    let words: Vec<&str> = line.split_whitespace().collect();
    Ok(match words.as_slice() {
        ["policy", policy] => Command::Policy(policy.parse()?),
        ["dial", peer] => Command::Dial {
            address: options::peer(peer)?,
            alpn: None,
        },
        ["dial", peer, alpn] => Command::Dial {
            address: options::peer(peer)?,
            alpn: Some(hex::decode(alpn)?),
        },
        ["send", connection, bytes] => Command::Send {
            connection: connection.parse()?,
            bytes: bytes.parse()?,
        },
        ["talk", connection, bytes] => Command::Talk {
            connection: connection.parse()?,
            bytes: bytes.parse()?,
        },
        ["reset", connection, bytes, code] => Command::Reset {
            connection: connection.parse()?,
            bytes: bytes.parse()?,
            code: varint(code)?,
        },
        ["stats", connection] => Command::Stats {
            connection: connection.parse()?,
        },
        ["close", connection, code, reason @ ..] => Command::Close {
            connection: connection.parse()?,
            code: varint(code)?,
            reason: reason.join(" "),
        },
        ["quit"] => Command::Quit,
        _ => return Err("policy, dial, send, talk, reset, stats, close or quit".into()),
    })
}
