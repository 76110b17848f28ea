/** How the terms of the embedded API are filled for `npm run costs`. */
import { type Account, type CostCase, RingQueue } from 'weir-mesh/bounds'
import { seededRandom } from 'weir-mesh/runtime'
import type { JsonObject } from '../kube/index.ts'
import { kindsOf } from './definitions.ts'
import { apiTerms, DEFAULT_API_LIMITS } from './memory.ts'
import { OrderedMap } from './ordered-map.ts'
import { Registry } from './registry.ts'
import type { Change, Stored } from './store.ts'

const OBJECTS = 2_048
const TEXT_BYTES = 512
const KEY_BYTES = 34
const UID_BYTES = 36
const KINDS = 32
/** What a kind below is charged for its schema. */
const SCHEMA_BYTES = 2 * 2_432

const terms = apiTerms({
  ...DEFAULT_API_LIMITS,
  objectsMax: OBJECTS,
  objectBytesMax: OBJECTS * (TEXT_BYTES + KEY_BYTES + UID_BYTES),
  historyMax: OBJECTS,
  historyBytesMax: OBJECTS * (TEXT_BYTES + KEY_BYTES),
  kindsMax: KINDS,
  schemaBytesMax: (KINDS - 3) * SCHEMA_BYTES,
})

/** A string of its own, as one that was written by `JSON.stringify` is. */
const own = (text: string, length: number) =>
  Buffer.from(text.padEnd(length, 'x')).toString('latin1')

function fillObjects(account: Account, index: number): unknown {
  const map = new OrderedMap<Stored>(account, {
    random: seededRandom(index),
    bytesOf: (key, stored) => key.length + stored.text.length + stored.uid.length,
  })
  for (let at = 0; at < account.term.entriesMax; at++) {
    const stored: Stored = {
      text: own(`${index} ${at}`, TEXT_BYTES),
      revision: 1.5e12 + at,
      uid: own(`${index}-${at}`, UID_BYTES),
    }
    map.set(own(`demo.weir.example/widgets/${at}`, KEY_BYTES), stored)
  }
  return map
}

function fillHistory(account: Account, index: number): unknown {
  const ring = new RingQueue<Change>(account, {
    bytesOf: (change) => change.text.length + change.key.length,
  })
  for (let at = 0; at < account.term.entriesMax; at++) {
    ring.push({
      revision: 1.5e12 + at,
      type: 'ADDED',
      key: own(`demo.weir.example/widgets/${at}`, KEY_BYTES),
      text: own(`${index} ${at}`, TEXT_BYTES),
    })
  }
  return ring
}

/** A definition with thirty fields, each with three constraints: larger than most. */
function definition(name: string): JsonObject {
  const fields: JsonObject = {}
  for (let field = 0; field < 30; field++) {
    fields[`field${field}`] = { type: 'string', minLength: 1, maxLength: 100, pattern: '^[a-z]+$' }
  }
  return {
    metadata: { name: `${name}s.demo.weir.example` },
    spec: {
      group: 'demo.weir.example',
      scope: 'Namespaced',
      names: { plural: `${name}s`, singular: name, kind: name, listKind: `${name}List` },
      versions: [
        {
          name: 'v1',
          served: true,
          storage: true,
          schema: {
            openAPIV3Schema: {
              type: 'object',
              properties: { spec: { type: 'object', properties: fields } },
            },
          },
        },
      ],
    },
  }
}

function fillKinds(account: Account, index: number): unknown {
  const registry = new Registry(account)
  for (let at = account.entries; at < account.term.entriesMax; at++) {
    for (const served of kindsOf(definition(`kind${index}x${at}`))) {
      registry.add(served)
      // Compiled to machine-readable code only when it first runs, on both of its ways.
      served.validate({ spec: { field0: 'abc' } })
      served.validate({ spec: { field0: 1, field1: '', field2: '!'.repeat(200) } })
    }
  }
  return registry
}

export const costs: readonly CostCase[] = Object.freeze([
  { term: terms.objects, fill: fillObjects },
  { term: terms.history, fill: fillHistory },
  { term: terms.kinds, fill: fillKinds },
])
