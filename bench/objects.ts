/** The object of all scenarios: 2 055 bytes of JSON, as in the measurements of the reference. */

const OBJECT_BYTES = 2_055

/** An object as the bench sends it; `round` changes its content and nothing of its size. */
export function widgetText(name: string, round = 0): string {
  const withNote = (note: string) =>
    JSON.stringify({
      apiVersion: 'demo.weir.example/v1',
      kind: 'Widget',
      metadata: { name, namespace: 'default' },
      spec: { round: 1_000 + round, color: 'blue', note },
    })
  const missing = OBJECT_BYTES - withNote('').length
  return withNote(filler(name, missing))
}

/** A merge patch that changes one small field, as an edit by hand does. */
export const editText = (round: number): string =>
  JSON.stringify({ spec: { round: 1_000 + round } })

/** Different for every object, so that nothing is won by equal texts. */
function filler(name: string, length: number): string {
  return `${name} `.repeat(Math.ceil(length / (name.length + 1))).slice(0, length)
}
