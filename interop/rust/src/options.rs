//! Command line: `weir-interop-peer COMMAND --name value ...`. One set of options for all commands;
//! the README says which command reads which.

use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use iroh::{EndpointAddr, EndpointId};
use p2panda_core::{Hash, SigningKey, Topic};

use crate::fail::Outcome;
use crate::fault::Fault;
use crate::plain::{Policy, Suite};

pub const LOG_SYNC: &str = "p2panda/log_sync/v1";

pub struct Options {
    pub command: String,
    pub key: SigningKey,
    pub network_id: [u8; 32],
    pub topic: Topic,
    pub bind: SocketAddr,
    pub peer: Option<EndpointAddr>,
    pub prefill: u32,
    pub size: usize,
    pub db: Option<String>,
    pub ingest: bool,
    pub live: bool,
    pub abrupt: bool,
    pub operations: Operations,
    pub expect: Option<usize>,
    pub fault: Fault,
    pub at: u32,
    pub fault_live: bool,
    pub wait: Duration,
    pub timeout: Duration,
    pub policy: Policy,
    pub suite: Suite,
    pub key_packets: Option<u64>,
    pub hello_retry: bool,
    pub idle: Option<Duration>,
    alpn: Option<Vec<u8>>,
    protocol: String,
}

/// Which received operations get a line of their own.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Operations {
    /// Those of the live phase; the others are counted.
    Live,
    All,
    None,
}

impl Options {
    pub fn parse(mut words: impl Iterator<Item = String>) -> Outcome<Self> {
        let mut options = Self {
            command: words.next().ok_or("a command is missing, see README.md")?,
            key: SigningKey::generate(),
            network_id: p2panda_net::DEFAULT_NETWORK_ID,
            topic: Topic::from([0; 32]),
            bind: SocketAddr::from(([127, 0, 0, 1], 0)),
            peer: None,
            prefill: 0,
            size: 1024,
            db: None,
            ingest: false,
            live: true,
            abrupt: false,
            operations: Operations::Live,
            expect: None,
            fault: Fault::Signature,
            at: 0,
            fault_live: false,
            wait: Duration::from_millis(3_000),
            timeout: Duration::from_millis(60_000),
            policy: Policy::Accept,
            suite: Suite::All,
            key_packets: None,
            hello_retry: false,
            idle: None,
            alpn: None,
            protocol: LOG_SYNC.to_owned(),
        };
        // A server keeps its sessions open unless told otherwise; a pull ends when it is done.
        options.live = options.command == "serve";
        while let Some(name) = words.next() {
            match name.as_str() {
                "--live" => options.live = true,
                "--no-live" => options.live = false,
                "--abrupt" => options.abrupt = true,
                "--hello-retry" => options.hello_retry = true,
                _ => {
                    let value = words
                        .next()
                        .ok_or_else(|| format!("{name} needs a value"))?;
                    options
                        .set(&name, &value)
                        .map_err(|error| format!("{name} {value}: {error}"))?;
                }
            }
        }
        Ok(options)
    }

    fn set(&mut self, name: &str, value: &str) -> Outcome<()> {
        match name {
            "--key" => self.key = SigningKey::from_bytes(&bytes32(value)?),
            "--network-id" => self.network_id = bytes32(value)?,
            "--topic" => self.topic = Topic::from(bytes32(value)?),
            "--bind" => self.bind = value.parse()?,
            "--peer" => self.peer = Some(peer(value)?),
            "--prefill" => self.prefill = value.parse()?,
            "--size" => self.size = value.parse()?,
            "--db" => self.db = Some(value.to_owned()),
            "--store" => {
                self.ingest = match value {
                    "ingest" => true,
                    "none" => false,
                    _ => return Err("either ingest or none".into()),
                }
            }
            "--ops" => {
                self.operations = match value {
                    "live" => Operations::Live,
                    "all" => Operations::All,
                    "none" => Operations::None,
                    _ => return Err("live, all or none".into()),
                }
            }
            "--expect" => self.expect = Some(value.parse()?),
            "--fault" => self.fault = Fault::from_str(value)?,
            "--at" => self.at = value.parse()?,
            "--phase" => {
                self.fault_live = match value {
                    "live" => true,
                    "sync" => false,
                    _ => return Err("either sync or live".into()),
                }
            }
            "--wait-ms" => self.wait = Duration::from_millis(value.parse()?),
            "--timeout-ms" => self.timeout = Duration::from_millis(value.parse()?),
            "--policy" => self.policy = value.parse()?,
            "--suite" => self.suite = value.parse()?,
            "--key-packets" => self.key_packets = Some(value.parse()?),
            "--idle-ms" => self.idle = Some(Duration::from_millis(value.parse()?)),
            "--alpn" => self.alpn = Some(hex::decode(value)?),
            "--protocol" => self.protocol = value.to_owned(),
            _ => return Err("no such option, see README.md".into()),
        }
        Ok(())
    }

    /// What goes into TLS: the protocol name mixed with the network id, or `--alpn` as it is.
    pub fn alpn(&self) -> Vec<u8> {
        match &self.alpn {
            Some(alpn) => alpn.clone(),
            None => mixed_alpn(&self.protocol, &self.network_id),
        }
    }

    /// A topic stream of a p2panda node keeps one log per author, named after the topic.
    pub fn log_id(&self) -> Hash {
        Hash::digest(self.topic.as_bytes())
    }

    pub fn peer(&self) -> Outcome<EndpointAddr> {
        Ok(self.peer.clone().ok_or("--peer ID@ADDRESS is missing")?)
    }
}

pub fn mixed_alpn(protocol: &str, network_id: &[u8; 32]) -> Vec<u8> {
    Hash::digest([protocol.as_bytes(), network_id].concat())
        .as_bytes()
        .to_vec()
}

/// `ID@127.0.0.1:PORT`, the id in hex; more addresses after commas.
pub fn peer(text: &str) -> Outcome<EndpointAddr> {
    let (id, addresses) = text
        .split_once('@')
        .ok_or("a peer is written ID@ADDRESS:PORT")?;
    let id = EndpointId::from_bytes(&bytes32(id)?)?;
    let mut peer = EndpointAddr::new(id);
    for address in addresses.split(',') {
        peer = peer.with_ip_addr(address.parse()?);
    }
    Ok(peer)
}

fn bytes32(text: &str) -> Outcome<[u8; 32]> {
    let bytes = hex::decode(text)?;
    bytes
        .try_into()
        .map_err(|_| "32 bytes in hex are needed".into())
}
