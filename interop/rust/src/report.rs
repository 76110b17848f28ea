//! What was received so far: counts, distinct ids, holes in the logs. Shared by the command that
//! fills it and by main, which prints it as the last line however the run ends.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

use p2panda_core::{Hash, Timestamp, validate_operation};
use serde_json::{Map, Value, json};

use crate::author::Op;
use crate::event;
use crate::options::Operations;

const PROGRESS: usize = 1_000;

#[derive(Clone)]
pub struct Report(Arc<Mutex<Counts>>);

struct Counts {
    start: Instant,
    print: Operations,
    expect: Option<usize>,
    received: usize,
    live: usize,
    bytes: usize,
    bad_body: usize,
    bad_log_id: usize,
    gaps: usize,
    ingested: usize,
    refused: usize,
    lagged: u64,
    failed_sessions: usize,
    ids: BTreeSet<Hash>,
    heights: BTreeMap<String, u32>,
    log_id: Hash,
}

impl Report {
    pub fn new(print: Operations, expect: Option<usize>, log_id: Hash) -> Self {
        Self(Arc::new(Mutex::new(Counts {
            start: Instant::now(),
            print,
            expect,
            received: 0,
            live: 0,
            bytes: 0,
            bad_body: 0,
            bad_log_id: 0,
            gaps: 0,
            ingested: 0,
            refused: 0,
            lagged: 0,
            failed_sessions: 0,
            ids: BTreeSet::new(),
            heights: BTreeMap::new(),
            log_id,
        })))
    }

    /// The clock of `ms` in the later lines starts here: when the peer is ready.
    pub fn start(&self) {
        self.counts().start = Instant::now();
    }

    /// Counts one operation. The sync layer has checked its signature; the rest is checked here.
    pub fn operation(&self, session: &str, operation: &Op, live: bool) {
        self.counts().operation(session, operation, live);
    }

    pub fn ingested(&self, is_new: bool) {
        self.counts().ingested += usize::from(is_new);
    }

    pub fn refused(&self) {
        self.counts().refused += 1;
    }

    pub fn lagged(&self, missed: u64) {
        self.counts().lagged += missed;
    }

    pub fn session_failed(&self) {
        self.counts().failed_sessions += 1;
    }

    pub fn has_failures(&self) -> bool {
        self.counts().failed_sessions > 0
    }

    pub fn fields(&self) -> Value {
        self.counts().fields()
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl Counts {
    fn operation(&mut self, session: &str, operation: &Op, live: bool) {
        let header = &operation.header;
        let author = header.verifying_key.to_hex();
        self.received += 1;
        self.live += usize::from(live);
        self.bytes += operation
            .body
            .as_ref()
            .map_or(0, |body| body.as_bytes().len());
        self.bad_body += usize::from(validate_operation(operation).is_err());
        self.bad_log_id += usize::from(header.extensions.log_id != self.log_id);
        if self.ids.insert(operation.hash) {
            let expected = self
                .heights
                .get(&author)
                .map_or(header.seq_num, |height| height + 1);
            self.gaps += usize::from(header.seq_num != expected);
            self.heights.insert(author.clone(), header.seq_num);
            if self.expect == Some(self.ids.len()) {
                let ms = self.ms();
                event!("expected", "distinct": self.ids.len(), "ms": ms);
            }
        }
        if self.print == Operations::All || (self.print == Operations::Live && live) {
            let created = u64::from(header.extensions.timestamp);
            event!(
                "operation",
                "session": session,
                "id": operation.hash.to_hex(),
                "author": author,
                "seq": header.seq_num,
                "body_len": operation.body.as_ref().map(|body| body.as_bytes().len()),
                "live": live,
                "age_us": u64::from(Timestamp::now()).saturating_sub(created),
            );
        } else if self.received.is_multiple_of(PROGRESS) {
            event!("progress", "received": self.received, "ms": self.ms());
        }
    }

    fn fields(&self) -> Value {
        let mut fields = Map::new();
        let mut put = |name: &str, value: Value| fields.insert(name.to_owned(), value);
        put("received", json!(self.received));
        put("distinct", json!(self.ids.len()));
        put("live", json!(self.live));
        put("body_bytes", json!(self.bytes));
        put("bad_body", json!(self.bad_body));
        put("bad_log_id", json!(self.bad_log_id));
        put("gaps", json!(self.gaps));
        put("ingested", json!(self.ingested));
        put("refused", json!(self.refused));
        put("lagged", json!(self.lagged));
        put("failed_sessions", json!(self.failed_sessions));
        put("heights", json!(self.heights));
        put("ids_digest", json!(self.ids_digest()));
        put("ms", json!(self.ms()));
        put("peak_rss_kib", json!(peak_rss_kib()));
        Value::Object(fields)
    }

    /// BLAKE3 over all distinct ids in byte order: equal on two peers that have the same set.
    fn ids_digest(&self) -> String {
        let bytes: Vec<u8> = self.ids.iter().flat_map(|id| *id.as_bytes()).collect();
        Hash::digest(bytes).to_hex()
    }

    fn ms(&self) -> u128 {
        self.start.elapsed().as_millis()
    }
}

fn peak_rss_kib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse().ok()
}
