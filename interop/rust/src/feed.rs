//! One queue for what all sessions report. Taking an event off a session must be quick, because its
//! channel drops events when it is full; printing and writing to SQLite happen at the end of this
//! queue instead.

use std::collections::HashMap;
use std::time::Instant;

use p2panda_core::Topic;
use p2panda_sync::protocols::{Metrics, TopicLogSyncEvent};
use serde_json::Value;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::author::Op;
use crate::event;
use crate::extensions::NodeExtensions;
use crate::report::Report;
use crate::store::{self, Store};

pub type SyncEvent = TopicLogSyncEvent<NodeExtensions>;

pub enum Entry {
    Session {
        session: String,
        remote: String,
        event: SyncEvent,
    },
    Lagged {
        missed: u64,
    },
    Failed {
        session: String,
        remote: String,
        error: String,
        close: Value,
    },
    Closed {
        session: String,
        remote: String,
        close: Value,
    },
}

pub type Feed = mpsc::UnboundedSender<Entry>;

pub struct Consumer {
    pub task: JoinHandle<()>,
    /// How many sessions are running.
    pub open: watch::Receiver<usize>,
}

/// Prints and counts all entries until every sender of the feed is gone. With a store, operations
/// are also ingested.
pub fn consume(topic: Topic, ingest: Option<Store>, report: Report) -> (Feed, Consumer) {
    let (feed, mut entries) = mpsc::unbounded_channel();
    let (open, open_rx) = watch::channel(0);
    let mut printer = Printer {
        topic,
        ingest,
        report,
        started: HashMap::new(),
        open,
    };
    let task = tokio::spawn(async move {
        while let Some(entry) = entries.recv().await {
            printer.entry(entry).await;
        }
    });
    (
        feed,
        Consumer {
            task,
            open: open_rx,
        },
    )
}

struct Printer {
    topic: Topic,
    ingest: Option<Store>,
    report: Report,
    started: HashMap<String, Instant>,
    open: watch::Sender<usize>,
}

impl Printer {
    async fn entry(&mut self, entry: Entry) {
        match entry {
            Entry::Session {
                session,
                remote,
                event,
            } => {
                self.session(session, remote, event).await;
            }
            Entry::Lagged { missed } => {
                self.report.lagged(missed);
                event!("lagged", "missed": missed);
            }
            Entry::Failed {
                session,
                remote,
                error,
                close,
            } => {
                self.report.session_failed();
                event!("session_failed", "session": session, "remote": remote, "error": error,
                       "close": close);
                self.forget(&session);
            }
            Entry::Closed {
                session,
                remote,
                close,
            } => {
                event!("closed", "session": session, "remote": remote, "close": close);
                self.forget(&session);
            }
        }
    }

    async fn session(&mut self, session: String, remote: String, event: SyncEvent) {
        let ms = self.begin(&session).elapsed().as_millis();
        match event {
            SyncEvent::SessionStarted => {
                event!("session_started", "session": session, "remote": remote);
            }
            SyncEvent::SyncStarted { metrics } => event!(
                "sync_started",
                "session": session,
                "remote": remote,
                "inbound_operations": metrics.inbound_sync_operations,
                "inbound_bytes": metrics.inbound_sync_bytes,
                "outbound_operations": metrics.outbound_sync_operations,
                "outbound_bytes": metrics.outbound_sync_bytes,
            ),
            SyncEvent::SyncFinished { metrics } => event!(
                "sync_finished",
                "session": session,
                "remote": remote,
                "received": metrics.received_sync_operations,
                "sent": metrics.sent_sync_operations,
                "ms": ms,
            ),
            SyncEvent::LiveModeStarted => {
                event!("live_started", "session": session, "remote": remote);
            }
            SyncEvent::OperationReceived { operation, metrics } => {
                self.operation(&session, &operation, &metrics).await;
            }
            SyncEvent::SessionFinished { metrics } => {
                event!(
                    "session_end",
                    "session": session,
                    "remote": remote,
                    "received": metrics.received_operations(),
                    "sent": metrics.sent_operations(),
                    "ms": ms,
                );
                self.forget(&session);
            }
            SyncEvent::Failed { error } => {
                self.report.session_failed();
                event!("session_failed", "session": session, "remote": remote, "error": error,
                       "close": Value::Null);
                self.forget(&session);
            }
        }
    }

    async fn operation(&mut self, session: &str, operation: &Op, metrics: &Metrics) {
        let is_live = metrics.received_live_operations > 0;
        self.report.operation(session, operation, is_live);
        let Some(store) = &self.ingest else { return };
        match store::ingest(store, &self.topic, operation).await {
            Ok(is_new) => self.report.ingested(is_new),
            Err(error) => {
                self.report.refused();
                event!("ingest_failed", "id": operation.hash.to_hex(),
                       "seq": operation.header.seq_num, "error": error.to_string());
            }
        }
    }

    fn begin(&mut self, session: &str) -> Instant {
        let start = *self
            .started
            .entry(session.to_owned())
            .or_insert_with(Instant::now);
        self.open.send_replace(self.started.len());
        start
    }

    fn forget(&mut self, session: &str) {
        self.started.remove(session);
        self.open.send_replace(self.started.len());
    }
}
