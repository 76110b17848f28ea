//! `pull`: one session, opened by us. Ends after the initial sync, or with `--live` when told so.

use std::time::Duration;

use futures_util::SinkExt;
use p2panda_sync::ToSync;

use crate::author::Author;
use crate::commands::{self, Command};
use crate::event;
use crate::fail::Outcome;
use crate::feed::consume;
use crate::net;
use crate::options::Options;
use crate::publisher::Publisher;
use crate::report::Report;
use crate::session::{Dial, live_queue};
use crate::store;

const CLOSING: Duration = Duration::from_secs(3);

pub async fn run(options: &Options, report: &Report) -> Outcome<()> {
    let store = store::open(options.db.as_deref()).await?;
    let mut author = Author::resume(&store, options.key.clone(), options.log_id()).await?;
    let stored = author.next;
    let (prefill, size) = (options.prefill, options.size);
    let made = store::prefill(&store, &options.topic, &mut author, prefill, size).await?;
    let endpoint = net::endpoint(options).await?;
    let ingest = options.ingest.then(|| store.clone());
    let (feed, consumer) = consume(options.topic, ingest, report.clone());
    event!("ready", "id": endpoint.id().to_string(), "addr": net::address(&endpoint)?.to_string(),
           "log_id": options.log_id().to_hex(), "own_operations": stored + made);
    report.start();

    let dial = Dial {
        name: "dial-1".to_owned(),
        endpoint: endpoint.clone(),
        alpn: options.alpn(),
        peer: options.peer()?,
        topic: options.topic,
        store: store.clone(),
        feed,
    };
    let (mut live, live_rx) = live_queue();
    if options.live {
        let mut session = tokio::spawn(dial.run(Some(live_rx)));
        let mut publisher = Publisher {
            author,
            store,
            topic: options.topic,
            stream: None,
            sessions: vec![live.clone()],
        };
        let mut lines = commands::lines();
        loop {
            let command = tokio::select! {
                _ = &mut session => break,
                command = commands::next(&mut lines) => command,
            };
            match command {
                Command::Publish {
                    count,
                    size,
                    interval,
                } => {
                    publisher.publish(count, size, interval).await?;
                }
                Command::Stats => event!("stats", "stats": report.fields()),
                Command::Quit => {
                    publisher.close().await;
                    let _ = tokio::time::timeout(CLOSING, &mut session).await;
                    break;
                }
                Command::Kill => std::process::exit(0),
                Command::Dial(_) | Command::Mesh(_) => {
                    event!("bad_command", "error": "only serve can do that");
                }
            }
        }
        session.abort();
    } else if options.abrupt {
        tokio::spawn(dial.run(None)).await?;
    } else {
        // The request to close waits in the queue until the initial sync is over.
        live.send(ToSync::Close).await?;
        tokio::spawn(dial.run(Some(live_rx))).await?;
    }
    // All senders of the feed are gone now; what is left gets printed and stored.
    consumer.task.await?;
    let _ = tokio::time::timeout(CLOSING, endpoint.close()).await;
    Ok(())
}
