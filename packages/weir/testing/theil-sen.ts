/**
 * The trend of a series that has outliers: the median of the slopes of all pairs of points (Theil 1950, Sen 1968), with
 * Sen's confidence interval, which asks nothing of the distribution of the noise. The leak tests judge by `upper`: the
 * slope that the data do not exclude, and not only the likeliest one.
 */
import assert from 'node:assert/strict'

export interface Point {
  readonly x: number
  readonly y: number
}

export interface Trend {
  readonly slope: number
  /** Two-sided confidence interval of the slope. */
  readonly lower: number
  readonly upper: number
}

/** Quantiles of the normal distribution for two-sided intervals. */
const QUANTILE = Object.freeze({ 0.9: 1.6449, 0.95: 1.96, 0.99: 2.5758 })

/**
 * The slope over points with different x, in any order; at least 5 for an interval that means something.
 *
 * @param options.confidence of the interval, two-sided. Default 0.95.
 */
export function theilSen(
  points: readonly Point[],
  options: { readonly confidence?: 0.9 | 0.95 | 0.99 } = {},
): Trend {
  const count = points.length
  assert.ok(count >= 5, `a trend needs at least 5 points, there are ${count}`)
  const slopes: number[] = []
  for (const [index, a] of points.entries()) {
    for (const b of points.slice(index + 1)) {
      assert.notEqual(a.x, b.x, 'two points have the same x')
      slopes.push((b.y - a.y) / (b.x - a.x))
    }
  }
  slopes.sort((a, b) => a - b)
  // The variance of Kendall's score without ties; ties in y would only make the interval narrower.
  const deviation = Math.sqrt((count * (count - 1) * (2 * count + 5)) / 18)
  const reach = QUANTILE[options.confidence ?? 0.95] * deviation
  const low = Math.max(Math.round((slopes.length - reach) / 2) - 1, 0)
  const high = Math.min(Math.round((slopes.length + reach) / 2), slopes.length - 1)
  return { slope: median(slopes), lower: slopes[low]!, upper: slopes[high]! }
}

function median(sorted: readonly number[]): number {
  const middle = sorted.length >> 1
  if (sorted.length % 2 === 1) return sorted[middle]!
  return (sorted[middle - 1]! + sorted[middle]!) / 2
}
