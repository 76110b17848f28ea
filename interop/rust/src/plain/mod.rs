//! `quic`: a plain iroh endpoint, for the tests of Weir's own QUIC. It dials and is dialled, echoes
//! what comes on bidirectional streams, swallows and hashes what comes on the others, and does what
//! it is told on stdin; README.md has the commands and lines.

mod command;
mod end;
mod suites;
mod talk;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use iroh::endpoint::{Connection, IdleTimeout, Incoming, QuicTransportConfig, VarInt, presets};
use iroh::{Endpoint, EndpointAddr, RelayMode, SecretKey};

use crate::commands;
use crate::event;
use crate::fail::Outcome;
use crate::options::Options;
use command::Command;
use end::failed_with;

pub use command::Policy;
pub use suites::Suite;

/// How long closing may take: the last packets are on their way after the first of it.
const CLOSE: Duration = Duration::from_millis(500);

pub async fn run(options: &Options) -> Outcome<()> {
    let endpoint = endpoint(options).await?;
    let sockets = endpoint.bound_sockets();
    let address = sockets.first().ok_or("there is no socket")?;
    event!("ready", "id": endpoint.id().to_string(), "addr": address.to_string());
    let peer = Arc::new(Peer {
        endpoint: endpoint.clone(),
        alpn: options.alpn(),
        state: Mutex::new(State {
            policy: options.policy,
            connections: HashMap::new(),
            next: 0,
        }),
    });
    let mut lines = commands::lines();
    loop {
        tokio::select! {
            incoming = endpoint.accept() => match incoming {
                Some(incoming) => peer.decide(incoming),
                None => break,
            },
            line = lines.recv() => {
                let Some(line) = line else { break };
                match command::parse(&line) {
                    Ok(Command::Quit) => break,
                    Ok(command) => peer.obey(command),
                    Err(error) => event!("bad_command", "line": line, "error": error.to_string()),
                }
            }
        }
    }
    // Waits for what was closed to be acknowledged, which a peer that is gone never does.
    let _ = tokio::time::timeout(CLOSE, endpoint.close()).await;
    Ok(())
}

/// As iroh makes it, but for what the options say: its own timers, windows and MTU discovery are
/// what is tested against.
async fn endpoint(options: &Options) -> Outcome<Endpoint> {
    let mut transport = QuicTransportConfig::builder();
    if let Some(idle) = options.idle {
        transport = transport.max_idle_timeout(Some(IdleTimeout::try_from(idle)?));
    }
    let builder = Endpoint::builder(presets::Minimal)
        .relay_mode(RelayMode::Disabled)
        .secret_key(SecretKey::from_bytes(options.key.as_bytes()))
        .alpns(vec![options.alpn()])
        .transport_config(transport.build())
        .crypto_provider(suites::provider(options)?)
        .clear_ip_transports()
        .bind_addr(options.bind)?;
    Ok(builder.bind().await?)
}

struct Peer {
    endpoint: Endpoint,
    alpn: Vec<u8>,
    state: Mutex<State>,
}

struct State {
    policy: Policy,
    connections: HashMap<u32, Connection>,
    next: u32,
}

impl Peer {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no task panics with the lock")
    }

    fn decide(self: &Arc<Self>, incoming: Incoming) {
        let policy = self.state().policy;
        let validated = incoming.remote_addr_validated();
        event!("incoming", "validated": validated, "remote": format!("{:?}", incoming.remote_addr()));
        match policy {
            Policy::Refuse => incoming.refuse(),
            Policy::Ignore => incoming.ignore(),
            Policy::Retry if !validated => {
                if let Err(error) = incoming.retry() {
                    event!("accept_failed", "error": error.to_string());
                }
            }
            Policy::Accept | Policy::Retry => {
                let peer = self.clone();
                tokio::spawn(async move {
                    match incoming.await {
                        Ok(connection) => peer.serve(connection, false),
                        Err(error) => event!("accept_failed", "end": failed_with(&error)),
                    }
                });
            }
        }
    }

    async fn dial(self: Arc<Self>, address: EndpointAddr, alpn: Option<Vec<u8>>) {
        let alpn = alpn.unwrap_or_else(|| self.alpn.clone());
        match self.endpoint.connect(address, &alpn).await {
            Ok(connection) => self.serve(connection, true),
            Err(error) => event!("connect_failed", "end": failed_with(&error)),
        }
    }

    /// Gives the connection a number and answers its streams until it ends.
    fn serve(self: &Arc<Self>, connection: Connection, outbound: bool) {
        let number = {
            let mut state = self.state();
            let number = state.next;
            state.next += 1;
            state.connections.insert(number, connection.clone());
            number
        };
        event!("connected", "conn": number, "outbound": outbound,
               "remote": connection.remote_id().to_string(), "alpn": hex::encode(connection.alpn()));
        tokio::spawn(talk::swallow(number, connection.clone()));
        tokio::spawn(talk::echo(number, connection.clone()));
        tokio::spawn(talk::echo_datagrams(connection.clone()));
        let peer = self.clone();
        tokio::spawn(async move {
            let error = connection.closed().await;
            peer.state().connections.remove(&number);
            event!("closed", "conn": number, "end": end::of(&error));
        });
    }

    fn obey(self: &Arc<Self>, command: Command) {
        match command {
            Command::Policy(policy) => {
                self.state().policy = policy;
                event!("policy");
            }
            Command::Dial { address, alpn } => {
                tokio::spawn(self.clone().dial(address, alpn));
            }
            Command::Send { connection, bytes } => {
                self.with(connection, |each| talk::send(connection, each, bytes));
            }
            Command::Talk { connection, bytes } => {
                self.with(connection, |each| talk::talk(connection, each, bytes));
            }
            Command::Reset {
                connection,
                bytes,
                code,
            } => {
                self.with(connection, |each| {
                    talk::reset(connection, each, bytes, code)
                });
            }
            Command::Stats { connection } => {
                self.with(connection, |each| talk::stats(connection, each));
            }
            Command::Close {
                connection,
                code,
                reason,
            } => {
                self.with(connection, |each| async move {
                    each.close(code, reason.as_bytes())
                });
            }
            Command::Quit => unreachable!("the loop ends with it"),
        }
    }

    fn with<F>(&self, number: u32, run: impl FnOnce(Connection) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        match self.state().connections.get(&number).cloned() {
            Some(connection) => {
                tokio::spawn(run(connection));
            }
            None => event!("bad_command", "error": format!("there is no connection {number}")),
        }
    }
}

fn varint(text: &str) -> Outcome<VarInt> {
    Ok(VarInt::from_u64(text.parse()?)?)
}
