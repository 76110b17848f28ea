//! `serve`: p2panda-net as a p2panda node assembles it, on loopback, without discovery. It accepts
//! log sync sessions for one topic; on command it also dials, through the initiator fixture or by
//! making a peer known to the real gossip overlay.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use futures_util::StreamExt;
use iroh::EndpointAddr;
use p2panda_core::{Hash, Topic};
use p2panda_net::addrs::NodeInfo;
use p2panda_net::iroh_endpoint::IrohConfig;
use p2panda_net::sync::SyncSubscription;
use p2panda_net::utils::to_verifying_key;
use p2panda_net::{AddressBook, Endpoint, Gossip, LogSync};
use p2panda_store::SqliteStoreBuilder;
use tokio::task::JoinSet;

use crate::author::Author;
use crate::commands::{self, Command};
use crate::event;
use crate::extensions::NodeExtensions;
use crate::fail::Outcome;
use crate::feed::{Entry, Feed, SyncEvent, consume};
use crate::net;
use crate::options::{LOG_SYNC, Options, mixed_alpn};
use crate::publisher::Publisher;
use crate::report::Report;
use crate::session::{Dial, live_queue};
use crate::store::{self, Store};

const CLOSING: Duration = Duration::from_millis(1_500);

/// What p2panda-net mixes into a synced topic to name the gossip overlay of its members.
const MEMBERSHIP: [u8; 32] = [
    0xfd, 0x06, 0xfb, 0xd9, 0xad, 0xe4, 0xd7, 0xf4, 0x82, 0xb5, 0x96, 0x8e, 0xdc, 0xf4, 0x31, 0xdb,
    0x23, 0x5e, 0xa3, 0xc5, 0xe5, 0x5d, 0x8f, 0xe3, 0x61, 0x3d, 0x26, 0xca, 0x3f, 0xfa, 0x1a, 0xe9,
];

pub async fn run(options: &Options, report: &Report) -> Outcome<()> {
    let topic = options.topic;
    let store = store::open(options.db.as_deref()).await?;
    let mut author = Author::resume(&store, options.key.clone(), options.log_id()).await?;
    let stored = author.next;
    let made = store::prefill(&store, &topic, &mut author, options.prefill, options.size).await?;

    let address_book = AddressBook::builder()
        .store(SqliteStoreBuilder::memory().build().await?)
        .spawn()
        .await?;
    let endpoint = Endpoint::builder(address_book.clone())
        .network_id(options.network_id)
        .signing_key(options.key.clone())
        .config(bind_config(options.bind)?)
        .spawn()
        .await?;
    let gossip = Gossip::builder(address_book.clone(), endpoint.clone())
        .spawn()
        .await?;
    let log_sync =
        LogSync::<Store, Hash, NodeExtensions>::builder(store.clone(), endpoint.clone(), gossip)
            .spawn()
            .await?;
    let stream = log_sync.stream(topic, options.live).await?;
    let subscription = stream.subscribe().await?;
    // Registering the protocol is a message to the endpoint that has been sent by now. The endpoint
    // answers this call after it, so from here on it accepts sessions.
    let iroh = endpoint.endpoint().await?;

    let ingest = options.ingest.then(|| store.clone());
    let (feed, mut consumer) = consume(topic, ingest, report.clone());
    let pump = tokio::spawn(pump(subscription, feed.clone()));
    event!("ready", "id": iroh.id().to_string(), "addr": net::address(&iroh)?.to_string(),
           "log_id": options.log_id().to_hex(), "own_operations": stored + made);
    report.start();

    let mut server = Server {
        iroh: iroh.clone(),
        address_book,
        alpn: mixed_alpn(LOG_SYNC, &options.network_id),
        publisher: Publisher {
            author,
            store,
            topic,
            stream: Some(stream),
            sessions: Vec::new(),
        },
        dials: JoinSet::new(),
        dialled: 0,
        feed,
    };
    if let Some(peer) = &options.peer {
        server.dial(peer.clone());
    }
    let mut lines = commands::lines();
    loop {
        match commands::next(&mut lines).await {
            Command::Publish {
                count,
                size,
                interval,
            } => {
                server.publisher.publish(count, size, interval).await?;
            }
            Command::Dial(peer) => server.dial(peer),
            Command::Mesh(peer) => server.mesh(peer).await?,
            Command::Stats => event!("stats", "stats": report.fields()),
            Command::Quit => break,
            Command::Kill => std::process::exit(0),
        }
    }

    server.publisher.close().await;
    let _ = tokio::time::timeout(CLOSING, consumer.open.wait_for(|open| *open == 0)).await;
    server.dials.shutdown().await;
    pump.abort();
    drop(server.feed);
    consumer.task.await?;
    let _ = tokio::time::timeout(CLOSING, iroh.close()).await;
    Ok(())
}

struct Server {
    iroh: iroh::Endpoint,
    address_book: AddressBook,
    alpn: Vec<u8>,
    publisher: Publisher,
    dials: JoinSet<()>,
    dialled: u32,
    feed: Feed,
}

impl Server {
    /// One session of the initiator fixture, from the same key and socket as the server's.
    fn dial(&mut self, peer: EndpointAddr) {
        self.dialled += 1;
        let (live, live_rx) = live_queue();
        self.publisher.sessions.push(live);
        let dial = Dial {
            name: format!("dial-{}", self.dialled),
            endpoint: self.iroh.clone(),
            alpn: self.alpn.clone(),
            peer,
            topic: self.publisher.topic,
            store: self.publisher.store.clone(),
            feed: self.feed.clone(),
        };
        self.dials.spawn(dial.run(Some(live_rx)));
    }

    /// Tells the address book that the peer is a member of our topic. Gossip then joins it, and the
    /// sync manager of p2panda-net dials it as it would in a real node, and again after failures.
    async fn mesh(&mut self, peer: EndpointAddr) -> Outcome<()> {
        let id = to_verifying_key(peer.id);
        let topic = [self.publisher.topic.as_bytes().as_slice(), &MEMBERSHIP].concat();
        self.address_book
            .insert_node_info(NodeInfo::from(peer).bootstrap())
            .await?;
        self.address_book
            .add_topic(id, Topic::from(Hash::digest(topic)))
            .await?;
        Ok(())
    }
}

/// p2panda-net always binds a second socket for IPv6; it goes to loopback, too.
fn bind_config(bind: SocketAddr) -> Outcome<IrohConfig> {
    let IpAddr::V4(ip) = bind.ip() else {
        return Err("--bind takes an IPv4 address".into());
    };
    Ok(IrohConfig {
        bind_ip_v4: ip,
        bind_port_v4: bind.port(),
        bind_ip_v6: Ipv6Addr::LOCALHOST,
        bind_port_v6: 0,
    })
}

async fn pump(mut subscription: SyncSubscription<SyncEvent>, feed: Feed) {
    while let Some(next) = subscription.next().await {
        let entry = match next {
            Ok(from) => Entry::Session {
                session: format!("net-{}", from.session_id),
                remote: from.remote.to_hex(),
                event: from.event,
            },
            Err(error) => {
                // The error tells the number of missed events only as text.
                let digits: String = error
                    .to_string()
                    .chars()
                    .filter(char::is_ascii_digit)
                    .collect();
                Entry::Lagged {
                    missed: digits.parse().unwrap_or(1),
                }
            }
        };
        if feed.send(entry).is_err() {
            return;
        }
    }
}
