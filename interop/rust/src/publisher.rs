//! Publishing: make operations, store them, hand them to whatever is in its live phase.

use std::time::{Duration, Instant};

use futures_util::SinkExt;
use p2panda_core::Topic;
use p2panda_net::sync::SyncHandle;
use p2panda_sync::ToSync;

use crate::author::{Author, Op};
use crate::event;
use crate::fail::Outcome;
use crate::feed::SyncEvent;
use crate::session::Live;
use crate::store::{self, Store};

pub struct Publisher {
    pub author: Author,
    pub store: Store,
    pub topic: Topic,
    /// The topic stream of p2panda-net, which serves all sessions of its own.
    pub stream: Option<SyncHandle<Op, SyncEvent>>,
    /// Sessions of the initiator fixture.
    pub sessions: Vec<Live>,
}

impl Publisher {
    pub async fn publish(
        &mut self,
        count: u32,
        size: usize,
        interval: Option<Duration>,
    ) -> Outcome<()> {
        let start = Instant::now();
        let first = self.author.next;
        match interval {
            Some(interval) => {
                let mut ticks = tokio::time::interval(interval.max(Duration::from_millis(1)));
                for _ in 0..count {
                    ticks.tick().await;
                    self.batch(1, size).await?;
                }
            }
            None => self.batch(count, size).await?,
        }
        event!("published", "count": count, "first_seq": first, "next_seq": self.author.next,
               "ms": start.elapsed().as_millis());
        Ok(())
    }

    /// Stored first, so that a session that starts now finds the operations in the store.
    async fn batch(&mut self, count: u32, size: usize) -> Outcome<()> {
        let operations: Vec<Op> = (0..count).map(|_| self.author.make(size)).collect();
        store::append(&self.store, &self.topic, &operations).await?;
        for operation in operations {
            if let Some(stream) = &self.stream {
                stream.publish(operation.clone())?;
            }
            let mut alive = Vec::with_capacity(self.sessions.len());
            for mut session in self.sessions.drain(..) {
                if session
                    .send(ToSync::Payload(operation.clone()))
                    .await
                    .is_ok()
                {
                    alive.push(session);
                }
            }
            self.sessions = alive;
        }
        Ok(())
    }

    /// Asks every session to end in the orderly way: Close, then the peer closes the connection.
    pub async fn close(&mut self) {
        for mut session in self.sessions.drain(..) {
            let _ = session.send(ToSync::Close).await;
        }
        // Dropping the handle closes the topic and with it all its sessions.
        self.stream = None;
    }
}
