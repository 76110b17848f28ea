//! The initiator: dials a peer, does the topic handshake and runs the log sync state machine of
//! p2panda-sync over the two streams. p2panda-net dials only gossip neighbours, so a test that
//! wants exactly one session, opened by Rust, needs this fixture. It differs from a session of
//! p2panda-net in three points: it waits until the peer has acknowledged everything before it
//! closes, it does not forward to other sessions, and it never retries.

use std::time::Duration;

use futures_channel::mpsc;
use iroh::endpoint::{Connection, VarInt};
use iroh::{Endpoint, EndpointAddr};
use p2panda_core::{Hash, Topic};
use p2panda_sync::ToSync;
use p2panda_sync::protocols::{TopicHandshakeEvent, TopicHandshakeInitiator, TopicLogSync};
use p2panda_sync::traits::Protocol;
use serde_json::Value;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use crate::author::Op;
use crate::extensions::NodeExtensions;
use crate::fail::{Fail, explain};
use crate::feed::{Entry, Feed, SyncEvent};
use crate::net::close_of;
use crate::store::Store;
use crate::wire::{Handshake, SyncMessage, framed};

/// Events of a session that may wait for the printer. Larger than any log of the tests.
const EVENT_QUEUE: usize = 32_768;
/// What p2panda-sync gives each of its sessions for operations published meanwhile.
const LIVE_QUEUE: usize = 1_028;
const ACKNOWLEDGE: Duration = Duration::from_secs(2);
const REASON: &[u8] = b"sync protocol initiate completed";

pub type Live = mpsc::Sender<ToSync<Op>>;

pub struct Dial {
    pub name: String,
    pub endpoint: Endpoint,
    pub alpn: Vec<u8>,
    pub peer: EndpointAddr,
    pub topic: Topic,
    pub store: Store,
    pub feed: Feed,
}

/// A queue for the live phase of a session.
pub fn live_queue() -> (Live, mpsc::Receiver<ToSync<Op>>) {
    mpsc::channel(LIVE_QUEUE)
}

impl Dial {
    /// Runs one session to its end and reports it to the feed. Without a live queue the session ends
    /// right after the initial sync, as upstream with live mode off: abruptly for a live acceptor.
    pub async fn run(self, live: Option<mpsc::Receiver<ToSync<Op>>>) {
        let remote = self.peer.id.to_string();
        let connection = match self.endpoint.connect(self.peer.clone(), &self.alpn).await {
            Ok(connection) => connection,
            Err(error) => {
                let error = format!("connect: {}", explain(&error));
                let session = self.name.clone();
                self.tell(Entry::Failed {
                    session,
                    remote,
                    error,
                    close: Value::Null,
                });
                return;
            }
        };
        let result = self.talk(&connection, live, &remote).await;
        let session = self.name.clone();
        match result {
            Ok(()) => {
                let close = close_of(&connection);
                connection.close(VarInt::from_u32(0), REASON);
                self.tell(Entry::Closed {
                    session,
                    remote,
                    close,
                });
            }
            Err(error) => {
                // The streams may fail a moment before the close of the peer has been handled.
                let soon = Duration::from_millis(100);
                let _ = tokio::time::timeout(soon, connection.closed()).await;
                let close = close_of(&connection);
                self.tell(Entry::Failed {
                    session,
                    remote,
                    error: error.to_string(),
                    close,
                });
            }
        }
    }

    async fn talk(
        &self,
        connection: &Connection,
        live: Option<mpsc::Receiver<ToSync<Op>>>,
        remote: &str,
    ) -> Result<(), Fail> {
        let (mut tx, mut rx) = framed::<Handshake>(connection.open_bi().await?);
        let (events, _ignored) = mpsc::channel::<TopicHandshakeEvent<Topic>>(16);
        TopicHandshakeInitiator::new(self.topic, events)
            .run(&mut tx, &mut rx)
            .await
            .map_err(|error| format!("handshake: {}", explain(&error)))?;

        let (mut tx, mut rx) = framed::<SyncMessage>(connection.open_bi().await?);
        let (events, events_rx) = broadcast::channel(EVENT_QUEUE);
        let pump = tokio::spawn(pump(
            self.name.clone(),
            remote.to_owned(),
            events_rx,
            self.feed.clone(),
        ));
        let protocol = TopicLogSync::<Topic, Store, Hash, NodeExtensions>::new(
            self.topic,
            self.store.clone(),
            live,
            events,
        );
        let result = protocol.run(&mut tx, &mut rx).await;
        pump.await?;
        result.map_err(|error| format!("sync: {}", explain(&error)))?;
        let _ = tokio::time::timeout(ACKNOWLEDGE, tx.get_ref().stopped()).await;
        Ok(())
    }

    fn tell(&self, entry: Entry) {
        let _ = self.feed.send(entry);
    }
}

/// Moves events from the bounded channel of the session into the feed. A failure is left out: it is
/// reported once, by the caller, together with how the connection ended.
async fn pump(
    session: String,
    remote: String,
    mut events: broadcast::Receiver<SyncEvent>,
    feed: Feed,
) {
    loop {
        let entry = match events.recv().await {
            Ok(SyncEvent::Failed { .. }) => continue,
            Ok(event) => Entry::Session {
                session: session.clone(),
                remote: remote.clone(),
                event,
            },
            Err(RecvError::Lagged(missed)) => Entry::Lagged { missed },
            Err(RecvError::Closed) => return,
        };
        let _ = feed.send(entry);
    }
}
