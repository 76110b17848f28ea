//! Operations in SQLite, in memory or in a file. The store traits are generic in five parameters;
//! the fully qualified calls live here and nowhere else.

use p2panda_core::{Hash, SeqNum, Topic, VerifyingKey};
use p2panda_store::logs::LogStore;
use p2panda_store::operations::OperationStore;
use p2panda_store::topics::TopicStore;
use p2panda_store::{SqliteStore, SqliteStoreBuilder, Transaction};
use p2panda_stream::ingest::ingest_operation;

use crate::author::{Author, Op};
use crate::fail::Outcome;

pub type Store = SqliteStore;

pub async fn open(path: Option<&str>) -> Outcome<Store> {
    let builder = match path {
        None => SqliteStoreBuilder::memory(),
        Some(path) => SqliteStoreBuilder::new().database_url(&format!("sqlite://{path}")),
    };
    Ok(builder.build().await?)
}

pub async fn latest(store: &Store, author: &VerifyingKey, log_id: &Hash) -> Outcome<Option<Op>> {
    let found = <Store as LogStore<Op, VerifyingKey, Hash, SeqNum, Hash>>::get_latest_entry(
        store, author, log_id,
    );
    Ok(found.await?)
}

/// Writes operations of our own in one transaction and ties their log to the topic.
pub async fn append(store: &Store, topic: &Topic, operations: &[Op]) -> Outcome<()> {
    let permit = store.begin().await?;
    for operation in operations {
        let log_id = operation.header.extensions.log_id;
        store
            .insert_operation(&operation.hash, operation, &log_id)
            .await?;
        <Store as TopicStore<Topic, VerifyingKey, Hash>>::associate(
            store,
            topic,
            &operation.header.verifying_key,
            &log_id,
        )
        .await?;
    }
    store.commit(permit).await?;
    Ok(())
}

/// Lets our own log reach `count` operations. Returns how many had to be made.
pub async fn prefill(
    store: &Store,
    topic: &Topic,
    author: &mut Author,
    count: u32,
    size: usize,
) -> Outcome<u32> {
    let missing = count.saturating_sub(author.next);
    let operations: Vec<Op> = (0..missing).map(|_| author.make(size)).collect();
    append(store, topic, &operations).await?;
    Ok(missing)
}

/// The checks and the write of a p2panda node. False when the operation was there already.
pub async fn ingest(store: &Store, topic: &Topic, operation: &Op) -> Outcome<bool> {
    let extensions = &operation.header.extensions;
    let done = ingest_operation(
        store,
        operation,
        &extensions.log_id,
        topic,
        extensions.prune.is_set(),
    );
    Ok(done.await?)
}
