/**
 * Which logs belong to which topic, both ways, as one link per pair in two lists: a log leaves all its topics without
 * a search, and a topic dies with its last log.
 *
 * Memory: one link per pair and one entry per topic, charged to the accounts of `store.topic-logs` and `store.topics`.
 */
import { type Account, type Admission, BoundedMap } from '../bounds/index.ts'
import { idKey, type TopicId } from '../core/index.ts'
import type { LogRecord } from './log-record.ts'

export interface TopicLog {
  readonly topic: TopicEntry
  readonly log: LogRecord
  /** Next topic of the same log. */
  nextOfLog: TopicLog | undefined
  /** Neighbours among the logs of the topic. */
  previous: TopicLog | undefined
  next: TopicLog | undefined
}

interface TopicEntry {
  readonly key: string
  logs: TopicLog | undefined
}

export class TopicIndex implements Disposable {
  readonly #topics: BoundedMap<string, TopicEntry>
  readonly #links: Account

  constructor(topics: Account, links: Account) {
    this.#topics = new BoundedMap(topics)
    this.#links = links
  }

  has(topic: TopicId, log: LogRecord): boolean {
    const key = idKey(topic)
    for (let link = log.topics; link; link = link.nextOfLog) if (link.topic.key === key) return true
    return false
  }

  /** Adds a pair that is not there yet. */
  add(topic: TopicId, log: LogRecord): Admission {
    const key = idKey(topic)
    const admission = this.#links.take(0, 1)
    if (admission !== 'ok') return admission
    let entry = this.#topics.peek(key)
    if (!entry) {
      entry = { key, logs: undefined }
      const kept = this.#topics.set(key, entry)
      if (kept !== 'ok') {
        this.#links.give(0, 1)
        return kept
      }
    }
    const link: TopicLog = {
      topic: entry,
      log,
      nextOfLog: log.topics,
      previous: undefined,
      next: entry.logs,
    }
    if (entry.logs) entry.logs.previous = link
    entry.logs = link
    log.topics = link
    return 'ok'
  }

  /** Takes back the pair that was added last to this log. */
  removeNewest(log: LogRecord): void {
    const link = log.topics
    if (!link) return
    log.topics = link.nextOfLog
    const { topic, previous, next } = link
    if (previous) previous.next = next
    else topic.logs = next
    if (next) next.previous = previous
    if (!topic.logs) this.#topics.delete(topic.key)
    this.#links.give(0, 1)
    this.#links.exit('removed')
  }

  /** Takes a log out of all its topics. */
  removeLog(log: LogRecord): void {
    while (log.topics) this.removeNewest(log)
  }

  *logs(topic: TopicId): IterableIterator<LogRecord> {
    for (let link = this.#topics.peek(idKey(topic))?.logs; link; link = link.next) yield link.log
  }

  /** The logs must have left before. */
  [Symbol.dispose](): void {
    this.#topics[Symbol.dispose]()
    this.#links[Symbol.dispose]()
  }
}
